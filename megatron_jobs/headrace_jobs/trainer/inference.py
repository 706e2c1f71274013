"""Score tokens with a checkpoint, in one process and fp32.

Legend: B = windows, S = width of this batch's windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_jobs.model.build import build_model
from headrace_jobs.model.equal_rows import equal_rows
from headrace_jobs.model.inputs import forbidden
from headrace_jobs.model.layout import ParallelConfig
from headrace_jobs.trainer import checkpoint
from headrace_jobs.trainer.parallel import single_process


class MegatronScorer:
    """`headrace_jobs.evaluation.scoring.Scorer` over a Megatron checkpoint."""

    def __init__(self, folder: Path) -> None:
        import torch

        single_process()
        about = checkpoint.read_state(folder)
        config = about.model.model_copy(update={"precision": "fp32", "softmax_precision": "fp32"})
        self.model = build_model(config, ParallelConfig(), sequence_length=about.train.sequence_length)
        weights = checkpoint.model_state_dict(self.model)
        checkpoint.load_into(weights, folder)
        self.model.load_state_dict(weights, strict=False)
        # A checkpoint whose mix used few ids holds one row many times over: its product is needed once.
        table = self.model.output_table()
        self.model.rows = equal_rows(table, torch.ones(len(table), dtype=torch.bool, device=table.device))
        self.model.train(False)

    def nll(
        self, tokens_BS: npt.NDArray[np.int64], positions_BS: npt.NDArray[np.int64], segments_BS: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]:
        """[b, i] = -ln p(token i+1 | tokens up to i of the same document); 0 in the last column and in padding."""
        import torch

        # The last place is a label only: a window of as many inputs as the model has positions may be scored.
        inputs = tuple(torch.from_numpy(np.ascontiguousarray(a[:, :-1])) for a in (tokens_BS, positions_BS, segments_BS))
        tokens, positions, segments = inputs
        order = torch.arange(tokens.shape[1])
        labels = torch.from_numpy(np.ascontiguousarray(tokens_BS[:, 1:]))
        counts = torch.from_numpy(np.ascontiguousarray(segments_BS[:, 1:] >= 0)).float()  # padding costs nothing
        device = next(self.model.parameters()).device
        mask = forbidden(segments, queries=order, keys=order)
        with torch.no_grad():
            out: Any = self.model(*(t.to(device) for t in (tokens, positions, mask)), labels=labels.to(device), loss_mask=counts.to(device))
        return np.pad(np.asarray(out[1].float().cpu().numpy(), dtype=np.float32), ((0, 0), (0, 1)))


def load_for_inference(folder: Path) -> MegatronScorer:
    """A scorer with the checkpoint's weights in this process, in fp32, whatever layout wrote them.

    Raises:
        InputError: damaged, or asking to run code.
    """
    return MegatronScorer(folder)
