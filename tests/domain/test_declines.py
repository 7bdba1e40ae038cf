"""What a decline of Stripe's means for the next step."""

import pytest

from domain.declines import DeclineClass, classify_decline


@pytest.mark.parametrize(
    ("code", "decline_code", "kind"),
    [
        ("expired_card", "expired_card", DeclineClass.EXPIRED_CARD),
        ("expired_card", "", DeclineClass.EXPIRED_CARD),
        ("card_declined", "insufficient_funds", DeclineClass.INSUFFICIENT_FUNDS),
        ("card_declined", "card_velocity_exceeded", DeclineClass.INSUFFICIENT_FUNDS),
        ("card_declined", "generic_decline", DeclineClass.DECLINED),
        ("card_declined", "do_not_honor", DeclineClass.DECLINED),
        ("card_declined", "", DeclineClass.DECLINED),
        ("processing_error", "processing_error", DeclineClass.DECLINED),
        ("incorrect_cvc", "incorrect_cvc", DeclineClass.DECLINED),
        (
            "authentication_required",
            "authentication_required",
            DeclineClass.AUTHENTICATION_REQUIRED,
        ),
        ("authentication_required", "generic_decline", DeclineClass.AUTHENTICATION_REQUIRED),
        ("payment_intent_authentication_failure", "", DeclineClass.AUTHENTICATION_REQUIRED),
        ("card_declined", "lost_card", DeclineClass.LOST_OR_STOLEN),
        ("card_declined", "stolen_card", DeclineClass.LOST_OR_STOLEN),
        ("card_declined", "pickup_card", DeclineClass.LOST_OR_STOLEN),
        ("card_declined", "restricted_card", DeclineClass.LOST_OR_STOLEN),
        ("card_declined", "fraudulent", DeclineClass.LOST_OR_STOLEN),
        ("card_declined", "stop_payment_order", DeclineClass.LOST_OR_STOLEN),
        ("resource_missing", "", DeclineClass.NO_CARD),
        ("incorrect_number", "incorrect_number", DeclineClass.NO_CARD),
    ],
)
def test_a_documented_code_has_its_class(code: str, decline_code: str, kind: DeclineClass) -> None:
    assert classify_decline(code, decline_code) is kind


def test_a_code_that_stripe_adds_tomorrow_is_an_unexplained_decline() -> None:
    assert classify_decline("card_declined", "moon_in_retrograde") is DeclineClass.DECLINED
    assert classify_decline("") is DeclineClass.DECLINED


def test_a_card_is_charged_again_only_where_that_may_help() -> None:
    assert {kind for kind in DeclineClass if kind.may_be_retried} == {
        DeclineClass.EXPIRED_CARD,
        DeclineClass.INSUFFICIENT_FUNDS,
        DeclineClass.DECLINED,
    }


@pytest.mark.parametrize("kind", DeclineClass)
def test_the_customer_is_told_in_one_sentence_that_gives_no_thief_away(kind: DeclineClass) -> None:
    assert kind.reason.endswith(".")
    assert kind.reason.count(".") == 1
    assert not {"lost", "stolen", "fraud"} & set(kind.reason.lower().rstrip(".").split())


def test_each_class_has_words_of_its_own() -> None:
    assert len({kind.reason for kind in DeclineClass}) == len(DeclineClass)
