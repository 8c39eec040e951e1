"""Settings for `similarity.BertSim` and `python similarity.py`, under albert_zh's names.

Flags of the command take precedence over these settings, and these over the settings in the model's
folder. Names used only in training have no effect; use its flags (`run_classifier.py --help`).
"""

model_dir = None  # folder of the fine-tuned model; None: the newest *_output/best
ckpt_name = None  # its checkpoint, if it is not in model_dir
config_name = None  # its config JSON file, if it is not in model_dir
vocab_file = None  # its vocabulary, if it is not in model_dir
output_dir = None  # searched first, since training writes there; then ckpt_name, then model_dir
max_seq_len = 128  # maximum length of a pair in tokens; 128: as in training
batch_size = 128  # pairs per batch

# Not used here; importing programs see albert_zh's values.
data_dir = "data"
graph_file = "tmp/result/graph"
gpu_memory_fraction = 0.8  # GPU memory is allocated as needed
layer_indexes = [-2]
learning_rate = 5e-5
num_train_epochs = 10
