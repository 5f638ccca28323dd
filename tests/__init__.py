"""The tests: sentences, fast by default; those marked `lab` start clusters. What they import stays lazy."""

from tests.helpers.lazy_modules import keep_modules_lazy

keep_modules_lazy()
