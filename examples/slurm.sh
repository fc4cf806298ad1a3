#!/bin/bash
# One run on all GPUs of two nodes, by `sbatch examples/slurm.sh --recipe darts_cifar10 --batch_size 512`.
#SBATCH --nodes=2 --ntasks-per-node=1 --gpus-per-node=4

cat > "tf_config_$SLURM_JOB_ID.py" <<'PYTHON'
import json, os, subprocess

nodes = subprocess.check_output(["scontrol", "show", "hostnames"], text=True).split()
task = {"type": "worker", "index": int(os.environ["SLURM_PROCID"])}
print(json.dumps({"cluster": {"worker": [node + ":2222" for node in nodes]}, "task": task}))
PYTHON
export SCRIPT="tf_config_$SLURM_JOB_ID.py"
srun bash -c 'TF_CONFIG=$(python3 "$SCRIPT") python3 search_cell.py --devices all "$@"' search "$@"
