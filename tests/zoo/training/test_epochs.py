import pytest

from zoo.errors import ZooError
from zoo.training.epochs import default_epochs


def test_a_fit_sees_about_as_many_samples_whatever_the_data() -> None:
    assert [default_epochs(num)[0] for num in (50, 1000, 2000, 5000, 16_000, 100_000)] == [50, 50, 25, 10, 3, 3]


def test_an_unknown_number_of_samples_is_refused() -> None:
    with pytest.raises(ZooError, match=r"set trainer.max_epochs"):
        default_epochs(None)
