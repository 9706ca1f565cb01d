"""Further attempts are a share of the calls and a few a second, at every provider for itself."""

from __future__ import annotations

from relayhub.routing.budget import BudgetTerms, RetryBudget
from relayhub.testing import FakeClock


def test_attempts_stay_within_the_promise_whatever_the_load() -> None:
    clock = FakeClock()
    budget = RetryBudget(clock)
    calls = retries = 0
    for tick in range(60 * 200):
        budget.called("up")
        calls += 1
        retries += budget.take("up")
        clock.advance(1 / 200)
        assert calls + retries <= 1.2 * calls + 3 * (tick / 200 + 1) + 1
    assert retries > 0.19 * calls  # nor is it stingy


def test_an_idle_provider_has_a_few_a_second_and_saves_up_no_more() -> None:
    clock = FakeClock()
    budget = RetryBudget(clock)
    clock.advance(3600)
    assert [budget.take("up") for _ in range(4)] == [True, True, True, False]
    clock.advance(0.4)
    assert [budget.take("up") for _ in range(2)] == [True, False]


def test_providers_do_not_pay_for_each_other() -> None:
    budget = RetryBudget(FakeClock())
    while budget.take("a"):
        pass
    assert budget.take("b")


def test_a_budget_of_nothing_allows_nothing() -> None:
    budget = RetryBudget(FakeClock(), BudgetTerms(share=0, per_s=0))
    for _ in range(1000):
        budget.called("up")
    assert not budget.take("up")


def test_a_busy_hour_is_not_saved_up_for_a_bad_minute() -> None:
    budget = RetryBudget(FakeClock())
    for _ in range(100_000):
        budget.called("up")
    assert sum(budget.take("up") for _ in range(1000)) == 13


def test_what_was_saved_up_is_cut_to_smaller_terms_by_the_next_call() -> None:
    clock = FakeClock()
    budget = RetryBudget(clock, BudgetTerms(share=1.0, per_s=0.0))
    for _ in range(100):
        budget.called("up")
    smaller = budget.renewed(BudgetTerms(share=0.1, per_s=0.0))
    smaller.called("up")
    assert smaller.left("up") == 5.0
    for _ in range(100):
        budget.called("up")
    assert budget.left("up") == 50.0
