"""Runs a few pre-training steps on one batch."""

import tensorflow.compat.v1 as tf

from albert_zh.model import modeling
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining import model_settings
from albert_zh.training.model_spec import ModeKeys
import pretraining_workspace as small

SETTINGS = model_settings.ModelSettings(
    learning_rate=1e-2,
    num_train_steps=20,
    num_warmup_steps=2,
    optimizer="lamb",
    poly_power=1.0,
    start_warmup_step=0,
    gradient_accumulation_steps=1,
    precision="float32",
    recompute=False,
    plain=False,
    skip_nan_steps=False,
    use_tpu=False,
    replaced_token_weight=0.0,
    sentence_name="next_sentence",
)


def features_of(count=8):
    return {
        name: tf.constant(values, tf.float32 if values.dtype.kind == "f" else tf.int32)
        for name, values in small.masked_records(count).items()
    }


def trained(num_steps=5, config=(), features=None, **changes):
    """(losses, {name: value} of all variables) after a few steps on one batch."""
    config = modeling.AlbertConfig.from_dict(dict(small.CONFIG, **dict(config)))
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        spec = pretraining_model_fn.model_fn_builder(config, SETTINGS._replace(**changes), None)(
            features() if features else features_of(), None, ModeKeys.TRAIN, {}
        )
        session.run(tf.global_variables_initializer())
        losses = [session.run([spec.loss, spec.train_op])[0] for _ in range(num_steps)]
        names = [variable.op.name for variable in tf.global_variables()]
        return losses, dict(zip(names, session.run(tf.global_variables())))
