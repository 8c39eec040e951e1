"""Training, evaluation and prediction in monitored sessions, on every version of TensorFlow.

    engine = Engine(model_fn, RunConfig(model_dir="out", seed=1))
    engine.train(input_fn, max_steps=100, hooks=[SaverHook("out", 50)])
    metrics = engine.evaluate(input_fn, checkpoint_path="out/model.ckpt-100")

Graphs are built op for op as TPUEstimator builds them on CPUs and GPUs (under a strategy, as
Estimator does): runs produce the same numbers as with these classes and can resume their runs.
"""

import collections
import contextlib
import gc
import os
from typing import Any, Callable, Dict, Iterator, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.training import tensorflow_internals
from albert_zh.training.model_spec import ModeKeys, Spec

LOGGED_EVERY = 100  # steps between records of the speed for TensorBoard
_HOURS_BETWEEN_KEPT = 10000  # so long that no checkpoint is kept permanently
_SECONDS_OF_WAITING = 7200  # for the worker that initializes the variables

RunConfig = collections.namedtuple(
    "RunConfig",
    "model_dir seed keep_checkpoint_max session_config strategy master is_multi_worker",
    defaults=(None, 5, None, None, None, False),
)
RunConfig.__doc__ = """How an `Engine` runs.

Fields:
    model_dir: folder of the checkpoints.
    seed: graph seed, int or None.
    keep_checkpoint_max: maximum number of checkpoints to keep, 0 for all.
    session_config: `tf.ConfigProto`, or None.
    strategy: `tf.distribute.Strategy` that distributes the training steps, or None.
    master: address of a TensorFlow master, or None.
    is_multi_worker: whether the workers of TF_CONFIG share the steps.
"""

_Step = collections.namedtuple("_Step", "loss train_op scaffold input_hooks")


class _InitializerHook(tf.train.SessionRunHook):
    """Initializes an iterator when a session is created, including a recreated session."""

    def __init__(self, make_initializer):
        self._make_initializer = make_initializer

    def begin(self):
        self._initializer = self._make_initializer()

    def after_create_session(self, session, coord):
        session.run(self._initializer)


_Predictions = collections.namedtuple(
    "_Predictions", "graph predictions input_hooks scaffold session"
)


class _LastingSession(tf.Session):
    """A session that stays open as long as it is referenced."""

    def close(self):
        """Does nothing, so that the session stays open for the next checkpoint."""


class _LastingSessionCreator(tf.train.SessionCreator):
    """Loads a checkpoint into a session that may already hold another one."""

    def __init__(self, made, checkpoint_path):
        self._made, self._checkpoint_path = made, checkpoint_path

    def create_session(self):
        session, scaffold = self._made.session, self._made.scaffold
        scaffold.saver.restore(session, self._checkpoint_path)
        session.run(scaffold.local_init_op)
        return session


class Engine:
    """Runs a `model_fn`; its methods have the same names and arguments as TPUEstimator's."""

    def __init__(self, model_fn: Callable[..., Spec], config: RunConfig) -> None:
        """Initializes the engine.

        Args:
            model_fn: function (features, labels, mode, params) -> `Spec`.
            config: see `RunConfig`.
        """
        self._model_fn = model_fn
        self.config = config
        # {input_fn: its `_Predictions`} within `one_prediction_graph`.
        self._kept_predictions: Optional[Dict[Callable[..., Any], _Predictions]] = None

    @property
    def model_dir(self) -> str:
        """The folder of the checkpoints."""
        return self.config.model_dir

    # Training

    def train(
        self,
        input_fn: Callable[..., tf.data.Dataset],
        max_steps: int,
        hooks: Sequence[tf.train.SessionRunHook] = (),
    ) -> None:
        """Trains to a step, starting from the folder's newest checkpoint if there is one.

        Args:
            input_fn: function (params[, input_context]) -> batches of features.
            max_steps: the step to stop at.
            hooks: session hooks; one of them must save checkpoints.
        """
        if self._newest_step() >= max_steps:
            return
        with self.one_prediction_graph():
            self._train(input_fn, list(hooks) + [tf.train.StopAtStepHook(last_step=max_steps)])
        gc.collect()  # graphs are cyclic, and the next one may be built much later

    def _train(self, input_fn, hooks):
        config, strategy = self.config.session_config, self.config.strategy
        if self.config.is_multi_worker:
            tensorflow_internals.run_as_worker(
                strategy, config, lambda own: self._train_shared(own, config, input_fn, hooks)
            )
        elif strategy is not None:
            config = strategy.update_config_proto(config or tf.ConfigProto())
            self._train_shared(strategy, config, input_fn, hooks)
        else:
            with tf.Graph().as_default():
                self._run_steps(self._build_step(input_fn), hooks, config)

    def _newest_step(self):
        newest = tf.train.latest_checkpoint(self.model_dir)
        if newest is None:
            return 0
        return int(tf.train.NewCheckpointReader(newest).get_tensor(tf.GraphKeys.GLOBAL_STEP))

    def _build_step(self, input_fn):
        self._begin_graph()
        tensorflow_internals.add_global_step_read()
        spec, input_hooks = self._specify(input_fn, ModeKeys.TRAIN)
        return _Step(spec.loss, spec.train_op, _scaffold_of(spec), input_hooks)

    def _train_shared(self, strategy, session_config, input_fn, hooks):
        """Trains with steps that are shared among the replicas of a strategy."""
        with tf.Graph().as_default(), strategy.scope(), tensorflow_internals.scaled_losses(
            strategy
        ):
            step = self._build_shared_step(strategy, input_fn)
            self._run_steps(step, hooks, session_config)

    @tensorflow_internals.gradients_forgotten()
    def _build_shared_step(self, strategy, input_fn):
        tf.set_random_seed(self.config.seed)
        iterator = strategy.make_input_fn_iterator(lambda context: _dataset(input_fn, context))
        tf.train.create_global_step()
        tensorflow_internals.add_shared_global_step_read(strategy)

        def of_replica(features):
            spec = self._model_fn(features, None, ModeKeys.TRAIN, {})
            return spec.loss, spec.train_op

        loss, train_op = strategy.extended.call_for_each_replica(
            of_replica, args=(iterator.get_next(),)
        )
        loss = strategy.reduce(tensorflow_internals.loss_reduction(), loss, axis=None)
        return _Step(loss, strategy.group(train_op), None, [_InitializerHook(iterator.initialize)])

    def _run_steps(self, step, hooks, session_config):
        """Runs training steps until a hook stops them, or the input ends."""
        summaries = tf.get_collection(tf.GraphKeys.SUMMARIES)
        if not any(summary.op.name == "loss" for summary in summaries):
            tf.summary.scalar("loss", step.loss)
        tf.add_to_collection(tf.GraphKeys.LOSSES, step.loss)
        logged = {"loss": step.loss, "step": tf.train.get_global_step()}
        own_hooks = [
            tf.train.NanTensorHook(step.loss),
            tf.train.LoggingTensorHook(logged, every_n_iter=LOGGED_EVERY),
        ]
        self._add_saver()
        with tf.train.MonitoredTrainingSession(
            master=self.config.master or "",
            checkpoint_dir=self.model_dir,
            scaffold=step.scaffold,
            hooks=step.input_hooks + hooks + own_hooks,
            save_checkpoint_secs=0,  # hooks save
            save_summaries_steps=LOGGED_EVERY,
            config=session_config,
            max_wait_secs=_SECONDS_OF_WAITING,
            log_step_count_steps=LOGGED_EVERY,
        ) as session:
            while not session.should_stop():
                session.run([step.train_op, step.loss])

    def _add_saver(self):
        """Adds the saver that the hooks and the scaffold use."""
        saver = tf.train.Saver(
            sharded=True,
            max_to_keep=self.config.keep_checkpoint_max,
            keep_checkpoint_every_n_hours=_HOURS_BETWEEN_KEPT,
            defer_build=True,
            save_relative_paths=True,
        )
        tf.add_to_collection(tf.GraphKeys.SAVERS, saver)

    # Evaluation and prediction

    def evaluate(
        self,
        input_fn: Callable[..., tf.data.Dataset],
        steps: Optional[int] = None,
        hooks: Sequence[tf.train.SessionRunHook] = (),
        checkpoint_path: Optional[str] = None,
    ) -> Dict[str, Any]:
        """Evaluates a checkpoint.

        Args:
            input_fn: function (params) -> batches of features.
            steps: maximum number of batches, or None for all.
            hooks: session hooks.
            checkpoint_path: prefix; None: the folder's newest checkpoint.

        Returns:
            {name: number}: the model's metrics, "loss" and "global_step". They are also written to
            the folder's `eval` for TensorBoard.
        """
        with tf.Graph().as_default():
            self._begin_graph()
            spec, input_hooks = self._specify(input_fn, ModeKeys.EVAL)
            metrics = _metrics_of(spec)
            updates = tf.group(*[update for _, (_, update) in sorted(metrics.items())])
            results = {name: value for name, (value, _) in metrics.items()}
            results["global_step"] = tf.train.get_global_step()
            final = tf.train.FinalOpsHook(results)
            with self._session(
                spec, checkpoint_path, input_hooks + list(hooks) + [final]
            ) as session:
                remaining = steps
                while not session.should_stop() and remaining != 0:
                    session.run(updates)
                    remaining = None if remaining is None else remaining - 1
            self._write_events(final.final_ops_values)
            return final.final_ops_values

    def predict(
        self,
        input_fn: Callable[..., tf.data.Dataset],
        hooks: Sequence[tf.train.SessionRunHook] = (),
        checkpoint_path: Optional[str] = None,
        yield_single_examples: bool = True,
    ) -> Iterator[Dict[str, np.ndarray]]:
        """Yields the predictions of a checkpoint, in the order of the input.

        Within `one_prediction_graph`, checkpoints that predict from the same input share a graph
        and a session; only those of the last input are kept.

        Args:
            input_fn: function (params) -> batches of features.
            hooks: session hooks.
            checkpoint_path: prefix; None: the folder's newest checkpoint.
            yield_single_examples: whether to yield rows instead of batches.

        Yields:
            {name: array}.
        """
        made = self._predictions_of(input_fn)
        creator = _LastingSessionCreator(
            made, checkpoint_path or tf.train.latest_checkpoint(self.model_dir)
        )
        with made.graph.as_default(), tf.train.MonitoredSession(
            creator, made.input_hooks + list(hooks)
        ) as session:
            while not session.should_stop():
                batch = session.run(made.predictions)
                if not yield_single_examples:
                    yield batch
                    continue
                names = sorted(batch)
                for row in zip(*[batch[name] for name in names]):
                    yield dict(zip(names, row))

    @contextlib.contextmanager
    def one_prediction_graph(self) -> Iterator[None]:
        """Context in which checkpoints that predict from the same input share graph and session.

        Training uses it for its evaluations.
        """
        if self._kept_predictions is not None:
            yield
            return
        self._kept_predictions = {}
        try:
            yield
        finally:
            self._kept_predictions = None

    def _predictions_of(self, input_fn):
        """The `_Predictions` of an input; cached for the next checkpoint if requested."""
        kept = self._kept_predictions or {}
        if input_fn in kept:
            return kept[input_fn]
        kept.clear()
        with tf.Graph().as_default() as graph:
            self._begin_graph()
            spec, input_hooks = self._specify(input_fn, ModeKeys.PREDICT)
            scaffold = _scaffold_of(spec).finalize()
            session = _LastingSession(self.config.master or "", graph, self.config.session_config)
        made = _Predictions(graph, spec.predictions, input_hooks, scaffold, session)
        if self._kept_predictions is not None:
            self._kept_predictions[input_fn] = made
        return made

    def _begin_graph(self):
        """Begins a graph: sets its seed and creates the global step as a resource variable."""
        tf.set_random_seed(self.config.seed)
        with tf.variable_scope(tf.get_variable_scope(), use_resource=True):
            tf.train.create_global_step()

    @tensorflow_internals.gradients_forgotten()
    def _specify(self, input_fn, mode):
        """(the model's `Spec` for a mode, hooks that initialize the input)."""
        features, input_hooks = _next_batch(input_fn)
        return self._model_fn(features, None, mode, {}), input_hooks

    def _session(self, spec, checkpoint_path, hooks):
        creator = tf.train.ChiefSessionCreator(
            scaffold=_scaffold_of(spec),
            master=self.config.master or "",
            config=self.config.session_config,
            checkpoint_filename_with_path=checkpoint_path
            or tf.train.latest_checkpoint(self.model_dir),
        )
        return tf.train.MonitoredSession(session_creator=creator, hooks=hooks)

    def _write_events(self, results):
        """Writes metrics for TensorBoard."""
        writer = tf.summary.FileWriterCache.get(os.path.join(self.model_dir, "eval"))
        scalars = [
            tf.Summary.Value(tag=name, simple_value=float(number))
            for name, number in sorted(results.items())
            if name != "global_step" and np.ndim(number) == 0
        ]
        writer.add_summary(tf.Summary(value=scalars), results["global_step"])
        writer.flush()


def _scaffold_of(spec):
    """The scaffold of a `Spec`, or one whose sessions skip the check for uninitialized variables.

    After initialization or loading a checkpoint no variable lacks a value, and the check, which
    runs twice, took as long as either.
    """
    if spec.scaffold_fn:
        return spec.scaffold_fn()
    none = tf.constant([], tf.string)
    return tf.train.Scaffold(ready_op=none, ready_for_local_init_op=none)


def _dataset(input_fn, input_context=None):
    """The input, built on the host; functions that split it by replica receive `input_context`."""
    context = {} if input_context is None else {"input_context": input_context}
    with tf.device("/device:CPU:0"):
        return input_fn(params={}, **context)


def _next_batch(input_fn):
    """(features of the next batch, hooks that initialize the input)."""
    iterator = tf.data.make_initializable_iterator(_dataset(input_fn))
    return iterator.get_next(), [_InitializerHook(lambda: iterator.initializer)]


def _metrics_of(spec):
    """{name: (value, update op)} of an evaluation, including the mean loss."""
    function, tensors = spec.eval_metrics
    return dict(function(*tensors), loss=tf.metrics.mean(spec.loss))
