"""Dunning policies over HTTP, and which customer has which."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path

from api.collection_schemas import (
    CustomerPolicyOut,
    CustomerPolicyRequest,
    PolicyOut,
    PolicyRequest,
    PolicyStep,
)
from api.dependencies import App, Finance
from api.invoices import business_date
from api.schemas import Page
from domain.dunning import DunningStep
from domain.emails import EmailKind
from storage.collection import STANDARD
from storage.engine import transaction
from storage.policies import (
    NamedPolicy,
    assign_policy,
    list_policies,
    load_policy,
    named_policy,
    save_policy,
)

router = APIRouter(prefix="/api/billing", tags=["dunning policies"])

CodePath = Annotated[str, Path(description="The policy's code.", examples=["net-60"])]
AccountPath = Annotated[str, Path(description="Account number.", examples=["1047"])]


@router.get("/dunning-policies", summary="List the dunning policies")
def list_all(app: App, caller: Finance) -> Page[PolicyOut]:
    """By code; `standard` is that of every customer who has none of their own."""
    with transaction(app.engine) as connection:
        return Page(items=[_out(policy) for policy in list_policies(connection)])


@router.get("/dunning-policies/{code}", summary="Read a dunning policy")
def show(code: CodePath, app: App, caller: Finance) -> PolicyOut:
    """Its steps by day."""
    with transaction(app.engine) as connection:
        return _out(load_policy(connection, code))


@router.put("/dunning-policies/{code}", summary="Make or replace a dunning policy")
def save(code: CodePath, request: PolicyRequest, app: App, caller: Finance) -> PolicyOut:
    """Applies to invoices issued from now on; each keeps the steps that it began with."""
    wanted = named_policy(code, _steps(request.steps))
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        return _out(save_policy(connection, wanted, business_date=today, by=caller.name))


@router.put("/customers/{account_number}/dunning-policy", summary="Give a customer a policy")
def assign(
    account_number: AccountPath, request: CustomerPolicyRequest, app: App, caller: Finance
) -> CustomerPolicyOut:
    """Applies to the invoices that are issued from now on."""
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        assign_policy(connection, account_number, request.code, business_date=today, by=caller.name)
        return CustomerPolicyOut(
            account_number=account_number,
            policy=_out(load_policy(connection, request.code or STANDARD)),
        )


def _steps(steps: Sequence[PolicyStep]) -> list[DunningStep]:
    return [
        DunningStep(step.after_days, EmailKind(step.notice), step.retry, tuple(step.cc))
        for step in steps
    ]


def _out(named: NamedPolicy) -> PolicyOut:
    return PolicyOut(
        code=named.code,
        built_in=named.built_in,
        steps=[PolicyStep.model_validate(step) for step in named.policy.steps],
    )
