"""Writes messages as Confluent's own serializers do, for tests of what Eddy reads.

write.py URL TOPIC avro|protobuf: each line of the input is {"schema": TEXT, "message": NAME, "value": {...}}; each line of
the output is the message in hex. Schemas are registered under TOPIC as they come.
"""

import json
import os
import sys
import tempfile

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def protobuf_class(text, message, index):
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        name = f"test_{index}.proto"
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
        out = os.path.join(folder, "set")
        if protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={out}", name]) != 0:
            sys.exit(f"protoc refuses {text}")
        with open(out, "rb") as file:
            files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(message))


def main():
    url, topic, form = sys.argv[1:]
    registry = SchemaRegistryClient({"url": url})
    context = SerializationContext(topic, MessageField.VALUE)
    serializers = {}
    for line in sys.stdin:
        job = json.loads(line)
        text, value = job["schema"], job["value"]
        if form == "avro":
            if text not in serializers:
                serializers[text] = AvroSerializer(registry, text)
            payload = serializers[text](value, context)
        else:
            from google.protobuf import json_format

            if text not in serializers:
                of = protobuf_class(text, job["message"], len(serializers))
                conf = {"use.deprecated.format": False}
                serializers[text] = (of, ProtobufSerializer(of, registry, conf))
            of, serializer = serializers[text]
            payload = serializer(json_format.ParseDict(value, of()), context)
        print(payload.hex(), flush=True)


main()
