# One image for every part: `billwright api`, `billwright worker`, `billwright migrate`.
FROM python:3.11-slim-bookworm

# Text layout and fonts for the PDFs. Without harfbuzz-subset each PDF takes four times the CPU.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-inter fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 10001 billwright
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# The pins of tests and checks stay outside.
COPY requirements.txt .
RUN sed '/^# --- tests and checks/,$d' requirements.txt > /tmp/product.txt \
    && pip install -r /tmp/product.txt

# Editable, because the templates are read from beside the packages.
COPY . .
RUN pip install --no-deps -e .

USER billwright
EXPOSE 8000
ENTRYPOINT ["billwright"]
CMD ["--help"]
