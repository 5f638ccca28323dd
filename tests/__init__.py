"""The tests: sentences, fast by default; those marked `lab` start clusters. What they import stays lazy."""

from tests.helpers.lazy_modules import stay_lazy

stay_lazy()
