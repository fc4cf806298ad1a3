import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tfdarts  # noqa: F401, I001  before TensorFlow, for the environment that it sets

import pathlib

import keras
import pytest
import tensorflow as tf

from tests.support import precision, reference
from tests.support.browser import chromium
from tests.support.commands import Forks

# Two devices, for what they share; all else is on the first.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_addoption(parser):
    parser.addoption(
        "--goldens",
        default=str(reference.GOLDENS),
        metavar="DIR",
        help="folder of golden values, in the layout of tests/goldens, whose sizes and options may be others",
    )


# The files that take longest begin, so that those who share the work end together.
FIRST = "enas_spaces api spaces supernet evalnet attention_search modules cli run approximate".split()

# Tests that `make test` leaves to `make slow`: each takes seconds to do with whole commands, or at other sizes, what a
# quicker one does too. CI runs both.
SLOW = """
api::test_a_users_own_compile_and_fit[micro-True]
api::test_a_users_own_compile_and_fit[renet-False]
approximate::test_command_lines
attention_search::test_both_orders_reach_every_table_and_the_genotype_trains[double_mixed]
attention_search::test_the_command_lines_search_and_train_without_a_further_flag[mixed_with_operation]
cell_functions::test_so_has_a_training_on_the_variables_themselves[approximate]
cell_functions::test_so_has_a_training_on_the_variables_themselves[attention]
enas_spaces::test_a_dry_run_knows_the_papers_networks[arguments1-3894372-494848]
enas_spaces::test_a_killed_search_goes_on_to_the_same_bits[macro]
enas_spaces::test_a_killed_search_goes_on_to_the_same_bits[micro]
enas_spaces::test_a_killed_training_goes_on_to_the_same_bits
enas_spaces::test_uniform_draws_share_weights_too[micro]
evalnet::test_parameters_and_multiply_adds[search-None-16_0]
evalnet::test_parameters_and_multiply_adds[search-None-16_1]
devices::test_a_machine_that_dies
export_kinds::test_float32[conv]
export_kinds::test_float32[conv_network_imagenet]
export_kinds::test_float32[conv_ops_approximate]
export_kinds::test_float32[conv_ops_attention]
export_kinds::test_float32[conv_with_attention_modules]
export_kinds::test_float32[macro]
export_kinds::test_float32[micro]
export_kinds::test_float32[renet_directional]
export_kinds::test_float32[renet_gru]
export_kinds::test_float32[renet_sigmoid]
export_kinds::test_float32[renet_vanilla]
export_kinds::test_smaller_numbers[conv]
export_kinds::test_smaller_numbers[conv_network_imagenet]
export_kinds::test_smaller_numbers[conv_ops_approximate]
export_kinds::test_smaller_numbers[conv_ops_attention]
export_kinds::test_smaller_numbers[conv_with_attention_modules]
export_kinds::test_smaller_numbers[macro]
export_kinds::test_smaller_numbers[micro]
export_kinds::test_smaller_numbers[nb201]
export_kinds::test_smaller_numbers[renet_directional]
export_kinds::test_smaller_numbers[renet_gru]
export_kinds::test_smaller_numbers[renet_lstm]
export_kinds::test_smaller_numbers[renet_sigmoid]
export_kinds::test_smaller_numbers[renet_vanilla]
modules::test_a_stopped_search_goes_on_to_the_same_bits[approximate]
modules::test_a_stopped_search_goes_on_to_the_same_bits[att-darts]
modules::test_a_stopped_search_goes_on_to_the_same_bits[attention]
nb201::test_a_dry_run[search]
nb201::test_a_found_cell_is_trained_and_tested
nb201::test_a_killed_search_goes_on_to_the_same_bits
nb201::test_changed_candidates_are_noticed[conv]
nb201::test_changed_candidates_are_noticed[nb201]
package::test_a_network_of_a_shipped_genotype_is_estimated_from_an_empty_folder
precision::test_a_stopped_search_goes_on_to_the_same_bits[mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[adversarial-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[adversarial-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[attention-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[attention-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[attention_modules-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[attention_modules-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[example-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[example-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[macro-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[macro-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[micro-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[micro-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[nb201-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[partial_channels-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[partial_channels-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[recurrent-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[recurrent_enas-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[recurrent_enas-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[regular-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[regular-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[renet_directional-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[renet_directional-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[renet_sigmoid-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[renet_sigmoid-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[renet_vanilla-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[renet_vanilla-mixed_float16]
precision::test_every_space_and_module_searches_and_trains[sampled_edges-mixed_bfloat16]
precision::test_every_space_and_module_searches_and_trains[sampled_edges-mixed_float16]
precision::test_the_sweeps_baselines_train[gru-mixed_bfloat16]
precision::test_the_sweeps_baselines_train[gru-mixed_float16]
precision::test_the_sweeps_baselines_train[lstm-mixed_bfloat16]
precision::test_the_sweeps_baselines_train[lstm-mixed_float16]
pytorch::test_the_authors_answers[att_darts-float64]
pytorch::test_the_authors_answers[checkpoint-float64]
pytorch::test_the_authors_answers[pcdarts_weights-float64]
pytorch::test_the_authors_answers[zip_state_dict-float64]
pytorch_commands::test_a_whole_training_from_a_file
renet::test_search_on_images_that_are_not_square
robust_darts::test_a_search_goes_back_under_more_weight_decay_also_after_a_kill
run::test_a_killed_run_goes_on_to_the_same_bits[second]
run::test_a_killed_run_goes_on_to_the_same_bits[train]
spaces::test_a_killed_run_goes_on_to_the_same_bits[renet-search]
spaces::test_a_killed_run_goes_on_to_the_same_bits[renet-train]
spaces::test_a_killed_run_goes_on_to_the_same_bits[text-search]
strategy_runs::test_a_stopped_search_goes_on_to_the_same_bits[adversarial]
strategy_runs::test_a_stopped_search_goes_on_to_the_same_bits[partial]
study::test_a_study_that_is_killed_ends_with_the_table_of_one_that_is_not
study::test_cells_above_the_budget_are_neither_drawn_nor_chosen
study_ray::test_a_study_whose_machine_dies_ends_with_the_same_table
study_ray::test_runs_lie_in_a_storage_that_is_no_shared_disk
supernet::test_hessian_vector_product_of_a_network_against_exact_derivatives
supernet::test_moving_statistics_of_the_authors_four_passes[float64]
""".split()


def pytest_collection_modifyitems(items):
    places = {f"test_{name}.py": place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))
    for item in items:
        if f"{item.path.stem.removeprefix('test_')}::{item.name}" in SLOW:
            item.add_marker(pytest.mark.slow)


def pytest_configure(config):
    """Tells where the golden values are before test modules are imported, which read some of them."""
    reference.GOLDENS = pathlib.Path(config.getoption("goldens")).resolve()


@pytest.fixture(params=["float32", "float64"])
def floatx(request):
    """Runs a test in single and in double precision."""
    with precision.floatx(request.param) as name:
        yield name


@pytest.fixture
def float64():
    """Runs a test in double precision."""
    with precision.floatx("float64"):
        yield


@pytest.fixture
def eagerly():
    """Without tracing, which takes longer than the few steps of a test."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture
def zero_start(monkeypatch):
    """Networks start at zero: drawing their start takes Keras longer than all else where only shapes matter."""
    for name in ("RandomUniform", "TruncatedNormal", "VarianceScaling"):
        draw = getattr(keras.initializers, name)
        monkeypatch.setattr(draw, "__call__", lambda self, shape, dtype=None, **kwargs: tf.zeros(shape, dtype))


@pytest.fixture(scope="session")
def forks():
    """Starts command lines: `forks.start("train.py", "--arch", "x")`, whose return value can be killed and awaited."""
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def command(forks):
    """Runs a command line and checks its exit code: `command("train.py", "--arch", "x", code=2).stderr`."""
    return forks.run


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Headless Chromium; without one the test is skipped, and says so."""
    with chromium(tmp_path_factory.mktemp("chromium")) as session:
        yield session
