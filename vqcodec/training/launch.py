"""Several processes of one command line, started and watched by torch's own launcher, which is torchrun's too."""

from __future__ import annotations

import logging
import os
import signal
import sys

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from vqcodec.cores import cores
from vqcodec.errors import LostProcessError

# A step and a checkpoint of the largest run are over by then.
_SECONDS_TO_SAVE = 600
RUN_ID = "vqc"
"""By what a process knows that `launch` has started it: its TORCHELASTIC_RUN_ID."""
EXIT_LOST = 75
"""The exit code of a process that leaves it to `launch` to say that another has ended."""
# The first process, which speaks for all, was killed, aborted, ended by the launcher, or leaves the word to `launch`.
_SPEECHLESS = (None, EXIT_LOST, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGABRT, 128 + signal.SIGTERM)


def launch(count: int, arguments: list[str]) -> int:
    """Run the command line `arguments` in `count` processes that know of each other, and return its exit code.

    LostProcessError where one was killed: when the launcher ends the others it may be before they can say so.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    # What it would say is an account of its own; the processes have said why.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=RUN_ID,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",  # else the name of the machine is looked up, which may fail or wait for a server
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(),
        shutdown_timeout=_SECONDS_TO_SAVE,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "vqcodec", *arguments)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if codes.get(0) in _SPEECHLESS:
            raise LostProcessError(
                "a process of the run has ended; go on from the last checkpoint with --resume"
            ) from error
        return max(1, codes.get(0) or 0)
    except SignalException as error:
        return 128 + error.sigval
    return 0
