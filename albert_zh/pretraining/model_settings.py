"""The pre-training settings that a `model_fn` needs."""

import collections

ModelSettings = collections.namedtuple(
    "ModelSettings",
    "learning_rate num_train_steps num_warmup_steps optimizer poly_power start_warmup_step "
    "gradient_accumulation_steps precision recompute plain skip_nan_steps use_tpu "
    "replaced_token_weight sentence_name sentence_task span_boundary_weight electra unilm",
    defaults=(True, 0.0, None, False),
)
ModelSettings.__doc__ = """How a model is trained; other fields are as the flags of the same names.

Fields:
    sentence_name: "next_sentence" or "sentence_order", the second task's name in metrics.
    sentence_task: bool, whether there is a second task.
    electra: `generator_settings.Settings` for the objective "electra"; None for other objectives.
    unilm: bool, whether rows use UniLM's mix of attention patterns.
"""
