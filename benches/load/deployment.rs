//! What the benches deploy: one stream of four columns, scored by a model trained by our own command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fleet::{COLUMNS, training_csv};

/// Event time the model is trained on, s.
const TRAINING_S: u64 = 1_800;

/// A config around `[source.line]` and the stream's `model`.
pub fn config(folder: &Path, source: &str, model: &str, page: u16) -> String {
    let columns: String = COLUMNS.iter().map(|c| format!("columns.{c} = {{ path = \"{c}\" }}\n")).collect();
    format!(
        "[source.line]\n{source}\n\
         [stream.pumps]\nfrom = \"line\"\nkey = \"pump\"\ntime = {{ path = \"ts\", unit = \"ms\" }}\n{columns}\
         window = {{ type = \"hopping\", size = \"64s\", every = \"4s\", grid = \"2s\", lateness = \"4s\" }}\n\
         max_future = \"none\"\np_value = 1e-6\nmodel = {model}\n\
         [sink.console]\ntype = \"stdout\"\n\
         [dashboard]\nlisten = \"127.0.0.1:{page}\"\n\
         [durable]\npath = \"{}\"\n",
        folder.join("data").display()
    )
}

/// Trains on rows of other keys with `eddy train`; gives the model's path.
pub fn train(folder: &Path) -> PathBuf {
    let (csv, toml, model) =
        (folder.join("history.csv"), folder.join("train.toml"), folder.join("model.safetensors"));
    std::fs::write(&csv, training_csv(TRAINING_S)).expect("the folder can be written");
    let source = format!("type = \"replay\"\npath = \"{}\"", csv.display());
    let text = config(folder, &source, "{ type = \"fit\", warmup = \"1h\" }", 0);
    std::fs::write(&toml, text).expect("the folder can be written");
    let trained = Command::new(env!("CARGO_BIN_EXE_eddy"))
        .arg("train")
        .arg(&toml)
        .args(["--stream", "pumps", "--data"])
        .arg(&csv)
        .arg("--out")
        .arg(&model)
        .stdout(Stdio::null())
        .status();
    assert!(trained.expect("eddy starts").success(), "eddy train failed");
    model
}
