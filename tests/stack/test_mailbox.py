"""The mailbox keeps what it has acknowledged."""

import smtplib
from email.message import EmailMessage
from pathlib import Path

from stack.embedded import EmbeddedStack
from stack.mailbox import read_mails
from tests.stack.conftest import supervised


def mail(subject: str, pdf: bytes = b"") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "bill@x.example", "a@y.example", subject
    message.set_content("Bitte zahlen Sie 312,91 €.\n")
    if pdf:
        message.add_attachment(pdf, maintype="application", subtype="pdf", filename="i.pdf")
    return message


def send(stack: EmbeddedStack, message: EmailMessage, to: list[str] | None = None) -> None:
    addresses = stack.addresses()
    with smtplib.SMTP(addresses.smtp_host, addresses.smtp_port, timeout=10) as smtp:
        smtp.send_message(message, to_addrs=to)


def test_a_mail_is_there_as_it_was_sent_once_it_is_acknowledged(stack: EmbeddedStack) -> None:
    pdf = bytes(range(256)) * 4000
    send(stack, mail("Rechnung für März", pdf), to=["a@y.example", "hidden@y.example"])
    kept = read_mails(stack.addresses().mail_dir)[-1]
    assert kept["Subject"] == "Rechnung für März"
    assert kept["Return-Path"] == "<bill@x.example>"
    assert kept.get_all("Delivered-To") == ["a@y.example", "hidden@y.example"]
    body = kept.get_body()
    assert body is not None
    assert body.get_content() == "Bitte zahlen Sie 312,91 €.\n"
    assert [a.get_content() for a in kept.iter_attachments()] == [pdf]


def test_mails_are_read_in_the_order_they_came(stack: EmbeddedStack) -> None:
    for number in range(20):
        send(stack, mail(f"in order {number}"))
    subjects = [str(m["Subject"]) for m in read_mails(stack.addresses().mail_dir)]
    assert [s for s in subjects if "in order" in s] == [f"in order {n}" for n in range(20)]


def test_an_acknowledged_mail_survives_a_killed_mailbox(stack: EmbeddedStack) -> None:
    send(stack, mail("before the kill"))
    with supervised(stack):
        stack.kill("mailbox")
        stack.wait_ready("mailbox", seconds=20)
        send(stack, mail("after the kill"))
    subjects = [m["Subject"] for m in read_mails(stack.addresses().mail_dir)]
    assert subjects[-2:] == ["before the kill", "after the kill"]


def test_a_folder_without_mails_reads_as_none(tmp_path: Path) -> None:
    assert read_mails(tmp_path / "mail") == []
