import pytest

from vireid.training.optim import ScheduleConfig


@pytest.mark.parametrize(
    ("epoch", "scale"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (19, 1.0), (20, 0.1), (49, 0.1), (50, 0.01), (79, 0.01)],
)
def test_agw_step_is_the_published_schedule(epoch, scale):
    assert ScheduleConfig(name="agw_step").scale(epoch, 80) == pytest.approx(scale)


def test_step_uses_its_own_milestones():
    schedule = ScheduleConfig(name="step", warmup_epochs=0, milestones=(2, 4), gamma=0.5)
    assert [schedule.scale(epoch, 6) for epoch in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_cosine_warms_up_and_falls_by_the_step():
    schedule = ScheduleConfig(name="cosine", warmup_epochs=2, floor=0.1)
    assert schedule.scale(0, 10) == pytest.approx(0.1)
    assert schedule.scale(1, 10) == pytest.approx(0.55)
    assert schedule.scale(2, 10) == pytest.approx(1.0)
    assert schedule.scale(5, 10, fraction=1.0) == pytest.approx(0.55)  # half way between epochs 2 and 10
    assert schedule.scale(9, 10, fraction=1.0) == pytest.approx(0.1)


def test_cosine_without_warmup_starts_at_the_full_rate():
    assert ScheduleConfig(name="cosine", warmup_epochs=0).scale(0, 5) == pytest.approx(1.0)
