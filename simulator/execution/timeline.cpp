#include "simulator/execution/timeline.hpp"

namespace stepcast {

const char* name_of(Stream stream) {
  switch (stream) {
    case Stream::compute: return "compute";
    case Stream::tensor: return "tensor parallel";
    case Stream::expert: return "expert parallel";
    case Stream::data: return "data parallel";
    case Stream::replica: return "data parallel, copies of shards";
    case Stream::send_forward: return "send forward";
    case Stream::send_backward: return "send backward";
    case Stream::receive_forward: return "receive forward";
    case Stream::receive_backward: return "receive backward";
    case Stream::host_download: return "download to host";
    case Stream::host_upload: return "upload from host";
  }
  return "";
}

const char* name_of(Bucket bucket) {
  switch (bucket) {
    case Bucket::compute: return "compute";
    case Bucket::tp_comm: return "tensor-parallel comm";
    case Bucket::cp_comm: return "context-parallel comm";
    case Bucket::ep_comm: return "expert-parallel comm";
    case Bucket::dp_comm: return "data-parallel comm";
    case Bucket::pp_comm: return "pipeline comm";
    case Bucket::bubble: return "pipeline bubble";
    case Bucket::optimizer: return "optimizer";
    case Bucket::host: return "host and other";
  }
  return "";
}

}  // namespace stepcast
