"""`python3 -m tfdarts.report` is `tfdarts report`: writes a report on runs."""

import sys

from tfdarts.cli import report

sys.argv[0] = "-m tfdarts.report"  # for the help
report.main()
