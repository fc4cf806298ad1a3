"""Genotypes as other programs take them, and back, for random ones of every space."""

import json

import pytest

from tfdarts import api, spaces
from tfdarts.cli import visualize
from tfdarts.genotype import GenotypeError
from tfdarts.spaces import genotypes
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.micro.genotype import MicroGenotype
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype

FEW = {"micro": 5, "macro": 10}  # of ENAS's spaces, where a controller draws them, slowly


def random(space, options):
    """Random genotypes of a space."""
    return api.random_genotypes(FEW.get(space, 40), space=space, **options)


KINDS = {
    "conv": {},
    "conv attention": {"location": "double_mixed"},
    "conv ends": {"location": "after_every_and_end", "nodes": 2, "multiplier": 2},
    "conv other operations": {"ops": "attention"},
    "recurrent": {"nodes": 5},
    "renet": {"rnn_cell": "sigmoid"},
    "macro": {"layers": 5},
    "micro": {"nodes": 3},
    "nb201": {},
}


def read(tmp_path, text, space):
    (tmp_path / "genotype.txt").write_text(text)
    return genotypes.load(tmp_path / "genotype.txt", space)


@pytest.mark.parametrize("kind", KINDS)
def test_random_genotypes_survive_as_text(kind, tmp_path):
    space = kind.split()[0]
    found = random(space, KINDS[kind])
    assert len(set(found)) > len(found) // 2
    for genotype in found:
        text, more = genotype.to_text()
        assert read(tmp_path, text, space) == genotype
        assert (more != ()) == (kind in ("renet", "conv other operations"))


@pytest.mark.parametrize("space", spaces.NAMES)
def test_shipped_genotypes_survive_as_text(space, tmp_path):
    for name in genotypes.names(space):
        genotype = genotypes.load(name, space)
        assert read(tmp_path, genotype.to_text()[0], space) == genotype, name


def test_the_form_of_darts():
    text, more = genotypes.load("DARTS_V2").to_text()
    assert text.startswith("Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ")
    assert "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), " in text and more == ()
    text, _ = genotypes.load("DARTS_V1", "recurrent").to_text()
    assert text.startswith("Genotype(recurrent=[('relu', 0), ('relu', 1), ") and text.endswith("7, 8])")


def test_cells_that_only_we_have(tmp_path):
    uneven = [["skip_connect", 0, "SE"], ["skip_connect", 1], ["max_pool_3x3", 2]]
    fields = {name: uneven for name in ("normal", "reduce")} | {
        f"{name}_inputs": [1, 2] for name in ("normal", "reduce")
    }
    genotype = ConvGenotype(normal_concat=[3], reduce_concat=[2, 3], **fields)
    text, more = genotype.to_text()
    assert more == ("normal_inputs", "reduce_inputs") and read(tmp_path, text, "conv") == genotype
    enas = RecurrentGenotype.from_arc(([1, 0, 2], [0, 1]))
    text, more = enas.to_text()
    assert more == ("start", "carry") and read(tmp_path, text, "recurrent") == enas
    cell = [["skip_connect", 0], ["skip_connect", 1]]
    with pytest.raises(GenotypeError, match="two cells of as many nodes"):
        MicroGenotype(cell, cell * 2).to_text()


def of_nni(data):
    """Nodes of NNI's keys, state by state."""
    cells = {}
    for name in ("normal", "reduce"):
        places = sorted(tuple(map(int, key.split("_")[1:])) for key in data if key.startswith(f"{name}/op"))
        keys = [f"_{state}_{k}" for state, k in places]
        cells[name] = [(data[f"{name}/op{key}"], data[f"{name}/input{key}"]) for key in keys]
        cells[f"{name}_concat"] = sorted({state for state, _ in places})
    return ConvGenotype(**cells)


def test_random_genotypes_survive_as_nnis():
    for genotype in random("conv", {}):
        assert of_nni(json.loads(json.dumps(genotype.to_nni()))) == genotype


@pytest.mark.parametrize(
    "space,name", [("conv", "Att_DARTS"), ("conv", "AmoebaNet"), ("conv", "FairDARTS_a"), ("recurrent", "DARTS_V2")]
)
def test_what_nni_has_no_form_for(space, name):
    with pytest.raises(GenotypeError, match="NNI.*take --to json"):
        genotypes.load(name, space).to_nni()


@pytest.mark.parametrize("program", ["pytorch", "nni", "json"])
def test_the_command_prints_and_draws_nothing(program, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    values = visualize.define()
    values(["visualize.py", "--to", program])
    visualize.visualize(values, ["PC_DARTS_cifar"])
    printed, genotype = capsys.readouterr(), genotypes.load("PC_DARTS_cifar")
    assert printed.err == "" and list(tmp_path.iterdir()) == []
    got = of_nni(json.loads(printed.out)) if program == "nni" else read(tmp_path, printed.out, "conv")
    assert got == genotype


def test_the_command_tells_what_the_authors_lack(capsys):
    values = visualize.define()
    values(["visualize.py", "--to", "pytorch", "--space", "renet"])
    visualize.visualize(values, ["DARTS_Sigmoid"])
    assert capsys.readouterr().err == "note: the authors' Genotype lacks space, cell: leave that out there\n"
