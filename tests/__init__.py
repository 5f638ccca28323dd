"""The tests: sentences, fast by default; those marked `lab` start clusters. What they import stays lazy."""

from tests.lazy_modules import stay_lazy

stay_lazy()
