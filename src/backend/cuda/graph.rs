//! Work of a stream, recorded once and launched as one.

use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys;

use super::DeviceError;
use super::driver::{Context, Event, Stream, of};

#[derive(Debug)]
pub(super) struct Graph {
    raw: sys::CUgraphExec,
    context: Arc<Context>,
}

// SAFETY: as for `Context`.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` puts into the stream, which is not done for that. Whatever it names must outlive the graph.
    ///
    /// # Errors
    /// Those of `work`, and if the driver does not make a graph of it.
    pub fn record(
        stream: &Stream,
        work: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<Graph, DeviceError> {
        // Of this thread: others go on allocating meanwhile.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive; every recording that was begun is ended.
        of("cuStreamBeginCapture", unsafe { result::stream::begin_capture(stream.raw, mode) })?;
        let recorded = work();
        let graph = of("cuStreamEndCapture", unsafe { result::stream::end_capture(stream.raw) })?;
        // SAFETY: the graph is what the driver has just given; what is launched is a copy of it.
        let made =
            recorded.map(|()| unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) });
        let _ = unsafe { result::graph::destroy(graph) };
        let made = made?;
        Ok(Graph { raw: of("cuGraphInstantiate", made)?, context: stream.context.clone() })
    }

    /// Puts all of it into a stream.
    ///
    /// # Safety
    /// What was recorded holds still: its memory is alive, and for slots what [`Stream::up`] and [`Stream::down`] ask.
    pub unsafe fn launch(&self, stream: &Stream) -> Result<(), DeviceError> {
        // SAFETY: both are alive; for the rest as the caller says.
        of("cuGraphLaunch", unsafe { result::graph::launch(self.raw, stream.raw) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.context.enter();
        // SAFETY: made by `record`.
        let _ = unsafe { result::graph::exec_destroy(self.raw) };
    }
}

impl Stream {
    /// As [`Stream::record`], while a graph is recorded: the event's time is that of each launch. Who waits for it must
    /// wait for one that is recorded behind the launch: before its turn comes the event is still that of the launch before.
    pub fn record_in_graph(&self, event: &Event) -> Result<(), DeviceError> {
        let flags = sys::CUevent_record_flags::CU_EVENT_RECORD_EXTERNAL as u32;
        // SAFETY: both are alive, as is the event as long as the graph.
        of(
            "cuEventRecordWithFlags",
            unsafe { sys::cuEventRecordWithFlags(event.raw, self.raw, flags) }.result(),
        )
    }
}
