//! Models of streams: which is active, and what became of challengers.

use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::metrics::MetricType;

use super::{Family, Labels};
use crate::config::plan::Plan;
use crate::status::Status;
use crate::types::{MODEL_DIGITS, StreamId};

pub(super) fn families(plan: &Plan, status: &Status) -> Vec<Family> {
    let streams = || plan.streams.iter().enumerate().map(|(i, stream)| (&stream.name, StreamId(i as u16)));
    let refits = streams().flat_map(|(name, id)| {
        let models = status.models(id);
        let results = [
            ("activated", &models.activated_total),
            ("rejected", &models.rejected_total),
            ("failed", &models.failed_total),
        ];
        results.map(|(result, count)| {
            (vec![("stream", name.clone()), ("result", result.to_owned())], count.load(Relaxed) as f64)
        })
    });
    let active = streams().filter_map(|(name, id)| {
        let active = status.models(id).active()?;
        let labels: Labels = vec![
            ("stream", name.clone()),
            ("model", active.checksum.chars().take(MODEL_DIGITS).collect()),
            ("name", active.name),
            ("by", active.by.as_str().to_owned()),
        ];
        Some((labels, 1.0))
    });
    let fitted = |of: &dyn Fn(StreamId) -> Option<f64>| {
        streams().filter_map(|(name, id)| Some((vec![("stream", name.clone())], of(id)?))).collect()
    };
    vec![
        Family {
            name: "stream_fits",
            help: "Models fitted by the partitions",
            kind: MetricType::Counter,
            samples: fitted(&|id| {
                Some(status.stream(id).iter().map(|p| p.fits_total.load(Relaxed)).sum::<u64>() as f64)
            }),
        },
        Family {
            name: "stream_model_windows",
            help: "Windows behind the model of the partition that has fewest",
            kind: MetricType::Gauge,
            samples: fitted(&|id| Some(status.model_windows(id)? as f64)),
        },
        Family {
            name: "stream_refits",
            help: "Challengers by what became of them",
            kind: MetricType::Counter,
            samples: refits.collect(),
        },
        Family {
            name: "stream_model",
            help: "1 for the model that scores the stream",
            kind: MetricType::Gauge,
            samples: active.collect(),
        },
    ]
}
