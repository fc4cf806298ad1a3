"""`python3 -m tfdarts.multipliers TABLE [MAP.png]`: error figures of an approximate multiplier."""

from tfdarts.cli import flags, multipliers

if __name__ == "__main__":
    flags.run(multipliers.main, positional=True)
