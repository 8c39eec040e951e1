"""Settings of `similarity.BertSim` and of `python similarity.py`, by the names of albert_zh.

Flags of the command come first, then what is set here, then what the model's folder says. The names
that only training used are read by nothing; training has its flags (`run_classifier.py --help`).
"""

model_dir = None  # folder of the fine-tuned model; None: the newest *_output/best
ckpt_name = None  # its checkpoint, where that is not in model_dir
config_name = None  # its config JSON, where that is not in model_dir
vocab_file = None  # its vocabulary, where that is not in model_dir
output_dir = None  # looked in first, as training writes there; then ckpt_name, then model_dir
max_seq_len = None  # longest pair in tokens; None: as in training
batch_size = 128  # pairs that are predicted at once

# Read by nothing here; programs that import them find albert_zh's values.
data_dir = "data"
graph_file = "tmp/result/graph"
gpu_memory_fraction = 0.8  # a GPU's memory is taken as needed
layer_indexes = [-2]
learning_rate = 5e-5
num_train_epochs = 10
