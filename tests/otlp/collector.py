"""A collector of OTLP over HTTP that reads requests with OpenTelemetry's own package and prints each as a line of JSON.

Usage: collector.py PORT STATUS; a STATUS of 0 never answers. PORT 0 is any; the first line printed is the port.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

KINDS = {
    "/v1/traces": (trace.ExportTraceServiceRequest, trace.ExportTraceServiceResponse),
    "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
}
STATUS = int(sys.argv[2])
# A print writes its text and its end apart, and each request has a thread.
ONE_LINE = threading.Lock()


def check_known(message):
    """A field by a number that the package has not would be passed over without a word."""
    assert len(UnknownFieldSet(message)) == 0, f"unknown fields in {type(message).__name__}"
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                check_known(inner)


def with_hex_ids(value):
    """JSON of protobuf has bytes as base64; the ids of OTLP are written in hex."""
    import base64

    if isinstance(value, list):
        return [with_hex_ids(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {k: base64.b64decode(v).hex() if k in ids else with_hex_ids(v) for k, v in value.items()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        # Collectors may lie below a path of their own.
        path = "/" + "/".join(self.path.split("/")[-2:])
        line = {"path": path, "below": self.path.removesuffix(path), "headers": {k.lower(): v for k, v in self.headers.items()}}
        answer = b""
        try:
            request, response = KINDS[path]
            message = request.FromString(body)
            check_known(message)
            line["body"] = with_hex_ids(MessageToDict(message))
            answer = response().SerializeToString()
        except Exception as error:  # whatever it is, the test is to see it
            line["fault"] = f"{type(error).__name__}: {error}"
        with ONE_LINE:
            print(json.dumps(line), flush=True)
        if STATUS == 0:
            time.sleep(3600)
        self.send_response(STATUS)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
