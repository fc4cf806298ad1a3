"""Says which packages are installed; everything else is in pyproject.toml.

`ops/` and `genotypes/` lie at the top of the repository and are installed inside the package, as `tfdarts.ops` and
`tfdarts.genotypes`: pyproject.toml can either find packages or list them, not both.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tfdarts", "tfdarts.*"]), "tfdarts.ops", "tfdarts.genotypes"],
    package_dir={"tfdarts.ops": "ops", "tfdarts.genotypes": "genotypes"},
)
