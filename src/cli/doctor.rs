//! `eddy doctor`: what there is to score on, and what would run.

use std::io::Write;

use anyhow::Result;

use super::{DoctorArgs, load};
use crate::backend::Choice;
use crate::backend::cuda::{Device, DeviceError, Found, Shard, shard_bytes};
use crate::config::show_size;

/// Prints to standard output.
///
/// # Errors
/// If the config has problems (exit code 78), or asks for a GPU and there is none that can be used.
pub fn doctor(args: &DoctorArgs) -> Result<()> {
    let plan = args.config.as_deref().map(load).transpose()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (choice, shards, ring_bytes) =
        plan.map_or((Choice::Auto, cores, 0), |plan| (plan.backend, plan.shards, plan.ring_bytes()));
    let tried = Device::shared().and_then(|device| {
        device.has_room(shards, ring_bytes)?;
        Shard::new(device.clone(), ring_bytes).map(|_| device.found())
    });
    // A reader that closed the pipe has seen enough.
    let _ = std::io::stdout().write_all(report(choice, (shards, ring_bytes), &tried).as_bytes());
    if choice == Choice::Cuda {
        tried?;
    }
    Ok(())
}

fn report(
    choice: Choice,
    (shards, ring_bytes): (usize, usize),
    tried: &Result<Found, DeviceError>,
) -> String {
    let mut text = format!("backend = {:?}, shards = {shards}\n", choice.as_str());
    match tried {
        Ok(Found { name, driver, capability, memory_bytes }) => {
            text += &format!(
                "GPU: {name}, compute capability {}.{}, {:.1} GiB, driver of CUDA {}.{}\n",
                capability.0,
                capability.1,
                *memory_bytes as f64 / (1u64 << 30) as f64,
                driver / 1000,
                driver % 1000 / 10,
            );
            let reserved = show_size((shards * shard_bytes(ring_bytes)) as u64);
            text += &format!("of its memory {reserved} are reserved, and the models come on top\n");
        }
        Err(error) => text += &format!("GPU: none: {error}\n"),
    }
    text += match (choice, tried) {
        (Choice::Cpu, _) => "scores on: the CPU, as the config says\n",
        (_, Ok(_)) => "scores on: the GPU, and on the CPU what is too little or has gaps\n",
        (Choice::Auto, Err(_)) => "scores on: the CPU\n",
        (Choice::Cuda, Err(_)) => "scores on: nothing: the config wants a GPU\n",
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_runs_and_why() {
        let found =
            Found { name: "Orin".into(), driver: 12_020, capability: (8, 7), memory_bytes: 32_000_000_000 };
        let there = report(Choice::Auto, (2, 0), &Ok(found.clone()));
        assert!(
            there.contains("GPU: Orin, compute capability 8.7, 29.8 GiB, driver of CUDA 12.2"),
            "{there}"
        );
        assert!(there.contains("scores on: the GPU"), "{there}");
        let unwanted = report(Choice::Cpu, (2, 0), &Ok(found));
        assert!(unwanted.contains("scores on: the CPU, as the config says"), "{unwanted}");
        let none = report(Choice::Auto, (2, 0), &Err(DeviceError::NoDriver));
        assert!(none.contains("GPU: none: there is no CUDA driver"), "{none}");
        assert!(none.ends_with("scores on: the CPU\n"), "{none}");
        let old = DeviceError::OldDriver { found: 11_040, needed: 12_020 };
        let refused = report(Choice::Cuda, (2, 0), &Err(old));
        assert!(refused.contains("it is of CUDA 11.4, and 12.2 is needed"), "{refused}");
        assert!(refused.contains("scores on: nothing"), "{refused}");
    }
}
