//! What belongs to the appliance as a whole: `deployment`, `shards`, `backend`, `device_memory`, `[dashboard]`, `[durable]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::field::Field;
use super::plan::{Choice, DashboardPlan, DurablePlan, ServerTlsPlan};
use super::section::Section;
use super::{suggest, web};
use crate::types::PARTITIONS;

const DEPLOYMENT_DEFAULT: &str = "eddy";
const DASHBOARD_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DAY: Duration = Duration::from_secs(86_400);
/// Windows of 250,000 keys of 64 cells and 4 columns.
const DEVICE_MEMORY_DEFAULT: usize = 280_000_000;
const DEVICE_MEMORY_MAX: u64 = 1_000_000_000_000;
/// A petabyte.
const BYTES_MAX_MAX: u64 = 1_000_000_000_000_000;

pub fn deployment(root: &mut Section<'_>) -> Option<String> {
    root.or("deployment", DEPLOYMENT_DEFAULT, |field| field.name()).map(str::to_string)
}

/// One engine thread a core, and no more than there are partitions to share out.
pub fn shards(root: &mut Section<'_>) -> Option<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |field: Field<'_>| field.integer(1..=PARTITIONS as i64).map(|shards| shards as usize);
    root.or("shards", cores.min(PARTITIONS), read)
}

/// A GPU if there is one.
pub fn backend(root: &mut Section<'_>) -> Option<Choice> {
    root.or("backend", Choice::Auto, |field| {
        let text = field.text()?;
        let found = Choice::ALL.into_iter().find(|choice| choice.as_str() == text);
        if found.is_none() {
            let names = suggest::list(Choice::ALL.iter().map(|choice| choice.as_str()));
            field.problem(format!("{text:?} is no backend"), format!("Use {names}."));
        }
        found
    })
}

/// Of all shards together.
pub fn device_memory(root: &mut Section<'_>) -> Option<usize> {
    let read = |field: Field<'_>| field.size(0..=DEVICE_MEMORY_MAX).map(|bytes| bytes as usize);
    root.or("device_memory", DEVICE_MEMORY_DEFAULT, read)
}

pub fn dashboard(root: &mut Section<'_>) -> Option<DashboardPlan> {
    let default = DashboardPlan { enabled: true, listen: DASHBOARD_DEFAULT, tls: None, url: None };
    root.or("dashboard", default, |field| {
        let mut section = field.section()?;
        let enabled = section.or("enabled", true, |field| field.boolean());
        // Whether somebody else than this box may ask depends on the tokens of the data folder: looked at by the start.
        let listen = section.or("listen", DASHBOARD_DEFAULT, |field| field.listen());
        let tls = section.maybe("tls", server_tls);
        let url = section.maybe("url", |field| page_url(&field));
        section.finish();
        Some(DashboardPlan { enabled: enabled?, listen: listen?, tls: tls?, url: url? })
    })
}

const PAGE: web::Wording = web::Wording {
    other_scheme: "is no address of a page",
    example: "Write it as browsers reach the page: https://eddy.example.com.",
    user: "Whoever opens the page logs in with a token.",
};

/// Without a path: the page's own links and forms begin at the root.
fn page_url(field: &Field<'_>) -> Option<url::Url> {
    let url = web::url(field, &PAGE)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        field.problem("has something behind the host, where the page's own paths begin", PAGE.example);
        return None;
    }
    Some(url)
}

/// `tls = { cert = "….pem", key = "….pem" }`; the files are looked into.
fn server_tls(field: Field<'_>) -> Option<ServerTlsPlan> {
    let mut section = field.section()?;
    let cert = section.required("cert", "\"page.pem\"").and_then(|field| field.file_path());
    let key = section.required("key", "\"page.key\"").and_then(|field| field.file_path());
    let here = section.here().clone();
    section.finish();
    let plan = ServerTlsPlan { cert: cert?, key: key? };
    match plan.server_config() {
        Ok(_) => Some(plan),
        Err(problem) => {
            here.locate(problem.key).problem(problem.fault, problem.remedy);
            None
        }
    }
}

pub fn durable(root: &mut Section<'_>) -> Option<DurablePlan> {
    root.or("durable", DurablePlan::default(), |field| {
        let DurablePlan { path, segment_bytes, snapshot_every, retain, bytes_max, retain_alerts } =
            DurablePlan::default();
        let mut section = field.section()?;
        let path = section.or("path", path, |field| field.file_path());
        let segment_bytes =
            section.or("segment", segment_bytes, |field| field.size(1_000_000..=1_000_000_000));
        let every = Duration::from_secs(1)..=Duration::from_secs(3600);
        let snapshot_every = section.or("snapshot_every", snapshot_every, |field| field.duration(every));
        let retain = section.or("retain", retain, |field| field.duration(Duration::ZERO..=DAY * 3650));
        let bytes_max = section.or("max_bytes", bytes_max, |field| field.size(1_000_000..=BYTES_MAX_MAX));
        let retain_alerts =
            section.or("retain_alerts", retain_alerts, |field| field.duration(DAY..=DAY * 3650));
        section.finish();
        Some(DurablePlan {
            path: path?,
            segment_bytes: segment_bytes?,
            snapshot_every: snapshot_every?,
            retain: retain?,
            bytes_max: bytes_max?,
            retain_alerts: retain_alerts?,
        })
    })
}
