"""All tests: fast by default; tests marked `lab` start clusters. Imported Pulumi modules stay lazy."""

from tests.helpers.lazy_modules import keep_modules_lazy

keep_modules_lazy()
