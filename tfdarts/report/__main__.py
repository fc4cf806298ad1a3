"""`python3 -m tfdarts.report`: writes a report on runs."""

from tfdarts.cli import report

report.main()
