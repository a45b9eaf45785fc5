#include <google/protobuf/util/json_util.h>

#include "simulator/base/error.hpp"
#include "simulator/report/formats.hpp"
#include "simulator/report/report.pb.h"

namespace stepcast {

// The message is read from the JSON report, whose keys are its field names: the two cannot drift apart.
std::string proto_report(const Report& report, const ReportStyle& style) {
  v1::Report message;
  const auto read = google::protobuf::util::JsonStringToMessage(json_report(report, style), &message);
  CHECK(read.ok(), "report.proto has a field for every key of the JSON report: " + read.ToString());
  std::string bytes;
  CHECK(message.SerializeToString(&bytes), "a report without required fields serializes");
  return bytes;
}

}  // namespace stepcast
