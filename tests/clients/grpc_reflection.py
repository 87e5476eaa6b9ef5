"""grpcio finds out what the operators' interface offers, by reflection over the Unix socket."""

import json
import os

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

# The name of the host is what is asked for at no host at all: grpcio would send the socket's path.
options = [("grpc.default_authority", "localhost")]
channel = grpc.insecure_channel(f"unix:{os.environ['SOCKET']}", options)
reflection = ProtoReflectionDescriptorDatabase(channel)
pool = DescriptorPool(reflection)
services = {}
for name in reflection.get_services():
    if not name.startswith("grpc.reflection."):
        methods = pool.FindServiceByName(name).methods
        services[name] = sorted(method.name for method in methods)
print(json.dumps(services))
