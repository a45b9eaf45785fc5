// Tables as others publish them, cut down and made up for the purpose: every number here is ours.

#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/import/importer.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class Import : public testing::Test {
 protected:
  void SetUp() override { fs::create_directory(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  static const Importer& importer(std::string_view name) {
    for (const Importer& row : importers())
      if (row.name == name) return row;
    throw std::logic_error("no such importer");
  }

  ImportedFiles import(std::string_view from, const std::string& text, const ImportOptions& options = {}) const {
    return import_files(importer(from), {write("table.txt", text)}, options);
  }

  /// The error's text without the folder; "no error" when there was none.
  std::string refusal(std::string_view from, const std::string& text, const ImportOptions& options = {}) const {
    try {
      import(from, text, options);
    } catch (const UserError& error) {
      std::string what = error.what();
      const std::string path = folder_.string() + "/";
      if (what.rfind(path, 0) == 0) what.erase(0, path.size());
      return what.substr(0, what.find('\n'));
    }
    return "no error";
  }

  fs::path folder_ = fs::temp_directory_path() / ("stepcast-import-" + std::to_string(getpid()));
};

const CollectivePoint& collective(const Measurement& measurement) {
  return std::get<CollectivePoint>(measurement.point);
}

// --- nccl-tests ----------------------------------------------------------------------------------------------------

// 4 ranks on 2 hosts: busbw = 2 * 3/4 * algbw. 1 MiB in 52.43 us is 20.00 GB/s.
constexpr const char* all_reduce_log =
    R"(# nThread 1 nGpus 1 minBytes 1048576 maxBytes 2097152 step: 2(factor) warmup iters: 5 iters: 20 agg iters: 1 validation: 1 graph: 0
#
# Using devices
#  Rank  0 Group  0 Pid 100 on   node-a device  0 [0x07] NVIDIA H100 80GB HBM3
#  Rank  1 Group  0 Pid 101 on   node-a device  1 [0x0f] NVIDIA H100 80GB HBM3
#  Rank  2 Group  0 Pid 102 on   node-b device  0 [0x07] NVIDIA H100 80GB HBM3
#  Rank  3 Group  0 Pid 103 on   node-b device  1 [0x0f] NVIDIA H100 80GB HBM3
node-a:100:100 [0] NCCL INFO Bootstrap : Using eth0
NCCL version 2.21.5+cuda12.4
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
     1048576        262144     float     sum      -1    52.43   20.00   30.00      0    50.00   20.97   31.46      0
     2097152        524288     float     sum      -1    80.00   26.21   39.32      0    81.00   25.89   38.84      0
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 34.9
)";

TEST_F(Import, NcclTestsInAndOutOfPlace) {
  const ImportedFiles imported = import("nccl-tests", all_reduce_log, {.op = "all_reduce"});
  ASSERT_EQ(imported.measurements.size(), 4u);
  const Measurement& first = imported.measurements[0];
  EXPECT_EQ(first.device, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(first.gpu, "h100-80gb-sxm");
  EXPECT_EQ(first.library, "NCCL 2.21.5");
  EXPECT_EQ(first.source, "nccl-tests, table.txt");
  EXPECT_DOUBLE_EQ(first.time_us, 52.43);
  EXPECT_EQ(collective(first).op, "all_reduce");
  EXPECT_EQ(collective(first).bytes, 1048576);
  EXPECT_EQ(collective(first).ranks, 4);
  EXPECT_EQ(collective(first).nodes, 2);
  EXPECT_EQ(collective(first).precision, "fp32");
  EXPECT_FALSE(collective(first).in_place);
  EXPECT_NEAR(collective(first).algbw, 20.0, 0.01);
  EXPECT_NEAR(collective(first).busbw, 30.0, 0.01);  // 2 * 3/4 * 20
  EXPECT_TRUE(collective(imported.measurements[1]).in_place);
  EXPECT_DOUBLE_EQ(imported.measurements[3].time_us, 81.0);
  for (const Measurement& measurement : imported.measurements)
    EXPECT_EQ(parse_line(to_line(measurement), {}), measurement);
}

TEST_F(Import, NcclTestsUnderLogPrefixes) {
  std::string prefixed;
  std::istringstream lines(all_reduce_log);
  for (std::string line; std::getline(lines, line);) prefixed += "2026-11-22T09:30:00Z node1: " + line + "\r\n";
  EXPECT_EQ(import("nccl-tests", prefixed, {.op = "all_reduce"}).measurements,
            import("nccl-tests", all_reduce_log, {.op = "all_reduce"}).measurements);
}

TEST_F(Import, NcclTestsFindTheOperationInTheLogOrTheName) {
  const std::string named = std::string("# Collective test starting: all_reduce_perf\n") + all_reduce_log;
  EXPECT_EQ(collective(import("nccl-tests", named).measurements[0]).op, "all_reduce");
  const std::string path = write("allreduce-2nodes.log", all_reduce_log);
  EXPECT_EQ(collective(import_files(importer("nccl-tests"), {path}, {}).measurements[0]).op, "all_reduce");
  EXPECT_THAT(refusal("nccl-tests", all_reduce_log), HasSubstr("table.txt:14: which operation is this? Say --op"));
}

TEST_F(Import, NcclTestsOfEveryShapeOfRow) {
  struct Case {
    const char* op;
    const char* row;  // 8 GPUs, 8 MB in 100 us: algbw 80
    std::size_t measurements;
  };
  const Case cases[] = {
      {"all_gather", "8000000 2000000 float none -1 100 80.00 70.00 0 100 80.00 70.00 0", 2},
      {"all_gather", "8000000 2000000 float 100 80.00 70.00 0e+00 100 80.00 70.00 0e+00", 2},  // before 2.10
      {"reduce_scatter", "8000000 2000000 half sum -1 100 80.00 70.00 N/A 100 80.00 70.00 N/A", 2},
      {"alltoall", "8000000 250000 bfloat16 none -1 100 80.00 70.00 0 N/A N/A N/A N/A", 1},
      {"all_to_all", "8000000 250000 uint8 none -1 100 80.00 70.00 0 100 80.00 70.00 N/A", 2},
      {"sendrecv", "8000000 2000000 float sum -1 100 80.00 80.00 0 100 80.00 80.00 N/A", 2},
      {"broadcast", "8000000 2000000 float none 0 100 80.00 80.00 0 100 80.00 80.00 0", 2},
      {"reduce", "8000000 2000000 float sum 0 100 80.00 80.00 0 100 80.00 80.00 0", 2},
      {"scatter", "8000000 250000 float none 0 100 80.00 70.00 0 100 80.00 70.00 0", 2},
      {"gather", "8000000 250000 double none 0 100 80.00 70.00 0 100 80.00 70.00 0", 2},
      {"all_reduce", "8000000 2000000 f8e4m3 sum -1 100 80.00 140.00 0 100 80.00 140.00 0", 2},
  };
  for (const Case& c : cases) {
    const ImportedFiles imported = import("nccl-tests", c.row, {.op = c.op, .ranks = 8});
    EXPECT_EQ(imported.measurements.size(), c.measurements) << c.row;
    EXPECT_DOUBLE_EQ(imported.measurements[0].time_us, 100) << c.row;
  }
}

TEST_F(Import, NcclTestsTwoRunsInOneLog) {
  const std::string log = std::string("$ ./build/all_reduce_perf -g 4\n") + all_reduce_log +
                          "$ ./build/all_gather_perf -g 2\n"
                          "#  Rank  0 Group  0 Pid 100 on node-a device  0 [0x07] NVIDIA H100 80GB HBM3\n"
                          "#  Rank  1 Group  0 Pid 100 on node-a device  1 [0x0f] NVIDIA H100 80GB HBM3\n"
                          "1048576 131072 float none -1 52.43 20.00 10.00 0 52.43 20.00 10.00 0\n";
  const auto measurements = import("nccl-tests", log).measurements;
  ASSERT_EQ(measurements.size(), 6u);
  EXPECT_EQ(collective(measurements[5]).op, "all_gather");
  EXPECT_EQ(collective(measurements[5]).ranks, 2);
  EXPECT_EQ(collective(measurements[5]).nodes, 1);
}

TEST_F(Import, NcclTestsRefusesWhatIsNotATable) {
  const ImportOptions eight{.op = "all_reduce", .ranks = 8};
  EXPECT_EQ(refusal("nccl-tests", "hello\n"), "table.txt: no row of an nccl-tests table (size count type ...) in it");
  EXPECT_THAT(refusal("nccl-tests", "\n8000000 2000000 float sum -1 -100 80.00 140.00 0 100 80.00 140.00 0", eight),
              HasSubstr("table.txt:2: a time in us is above zero, not '-100'"));
  EXPECT_THAT(refusal("nccl-tests", "8000000 2000000 float sum -1 nan 80.00 140.00 0 100 80.00 140.00 0", eight),
              HasSubstr("table.txt:1: a time in us is above zero, not 'nan'"));
  EXPECT_THAT(refusal("nccl-tests", "8000000 2000000 float sum -1 100 80.00", eight),
              HasSubstr("table.txt:1: a row of nccl-tests is"));
  EXPECT_THAT(refusal("nccl-tests", "8000000 2000000 float sum -1 100 8.00 14.00 0 100 80.00 140.00 0", eight),
              HasSubstr("8000000 B in 100 us are 80.00 GB/s, and algbw says 8"));
  EXPECT_THAT(refusal("nccl-tests", "8000000 2000000 float sum -1 100 80.00 70.00 0 100 80.00 140.00 0", eight),
              HasSubstr("busbw / algbw is 0.875; all_reduce over 8 ranks has 1.750"));
  EXPECT_THAT(
      refusal("nccl-tests", "8000000 2000000 float sum -1 100 80.00 140.00 0 100 80.00 140.00 0", {.op = "all_reduce"}),
      HasSubstr("say --ranks N"));
  EXPECT_THAT(refusal("nccl-tests", all_reduce_log, {.op = "all_reduse"}), HasSubstr("did you mean 'all_reduce'?"));
}

// --- CSV -----------------------------------------------------------------------------------------------------------

constexpr const char* vidur_gemm = "gpu,op,m,n,k,dtype,time_ms,time_ms_min,time_ms_max,samples,tflops,model,tp\n";

TEST_F(Import, VidurGemm) {
  const ImportedFiles imported =
      import("vidur", std::string(vidur_gemm) +
                          "a100,mlp_up_proj,128,4096,1024,fp16,0.0100,0.01,0.01,2,107,m,1\n"
                          "a100,mlp_down_proj,128,1024,4096,fp16,0.0200,0.02,0.02,1,53,m,1\n"
                          "a100,attn_pre_proj,128,4096,1024,fp16,0.0110,0.01,0.01,1,97,m,1\n");
  ASSERT_EQ(imported.measurements.size(), 2u);
  EXPECT_EQ(imported.merged, 1);
  const Measurement& first = imported.measurements[0];
  EXPECT_EQ(first.point, MeasuredPoint(GemmPoint{128, 4096, 1024, 1, "tn", "fp16", false}));
  EXPECT_EQ(first.gpu, "a100-80gb-sxm");
  EXPECT_DOUBLE_EQ(first.time_us, 11);  // of 10 and 11 us the upper median
  EXPECT_DOUBLE_EQ(*first.time_us_min, 10);
}

TEST_F(Import, VidurMemoryCountsBytes) {
  const ImportedFiles imported = import("vidur",
                                        "gpu,op,num_tokens,width,dtype,time_ms,samples,model,tp\n"
                                        "h100,add,1000,4096,fp16,0.020,8,m,1\n"
                                        "h100,mlp_act,1000,4096,fp16,0.020,8,m,1\n"
                                        "h100,input_layernorm,1000,4096,fp16,0.020,8,m,1\n"
                                        "h100,attn_rope,1000,128,fp16,0.020,8,m,1\n"
                                        "h100,mlp_act,1000,10240,fp16,0.020,8,phi-2,1\n"
                                        "h100,add,1000,2560,fp16,0.020,8,phi-2,1\n");
  ASSERT_EQ(imported.measurements.size(), 4u);
  EXPECT_EQ(imported.measurements[0].point,
            MeasuredPoint(MemoryPoint{"residual_add", 24'576'000, 4096, true}));  // 3 x 1000 x 4096 x 2 B
  EXPECT_EQ(imported.measurements[1].point, MeasuredPoint(MemoryPoint{"swiglu", 24'576'000, 4096, true}));
  EXPECT_EQ(imported.measurements[2].point, MeasuredPoint(MemoryPoint{"rmsnorm", 16'384'000, 4096, true}));
  EXPECT_EQ(imported.measurements[3].point, MeasuredPoint(MemoryPoint{"gelu", 40'960'000, 10240, true}));
  // Phi adds attention and feed-forward to the residual in one row, two kernels.
  EXPECT_THAT(imported.left_out, ElementsAre(Pair("operator add", 1), Pair("operator attn_rope", 1)));
}

TEST_F(Import, AiconfiguratorFiltersTypes) {
  constexpr const char* table =
      "gpu,framework,op,m,n,k,dtype,time_ms\n"
      "H100-SXM5-80GB,trtllm-1.3,gemm,64,512,256,bf16,0.0050\n"
      "H100-SXM5-80GB,trtllm-1.3,gemm,64,512,256,fp8,0.0150\n"
      "H100-SXM5-80GB,trtllm-1.3,gemm,64,512,256,fp8_block,0.0160\n";
  const ImportedFiles all = import("aiconfigurator", table);
  ASSERT_EQ(all.measurements.size(), 2u);
  EXPECT_EQ(all.measurements[0].library, "trtllm-1.3");
  EXPECT_EQ(all.measurements[1].library, "trtllm-1.3+quantise");  // its times hold the quantising kernels
  EXPECT_THAT(all.left_out, ElementsAre(Pair("dtype fp8_block (not one of ours)", 1)));
  const ImportedFiles fp8 = import("aiconfigurator", table, {.dtype = "fp8"});
  ASSERT_EQ(fp8.measurements.size(), 1u);
  EXPECT_EQ(std::get<GemmPoint>(fp8.measurements[0].point).precision, "fp8");
  EXPECT_EQ(refusal("aiconfigurator", table, {.dtype = "int4"}).substr(0, 40),
            "table.txt: no measurement in this file; ");
}

TEST_F(Import, AiconfiguratorAttention) {
  const ImportedFiles imported =
      import("aiconfigurator",
             "gpu,framework,kernel,batch,seqlen,heads,kv_heads,head_dim,window,dtype,time_ms,tflops_causal\n"
             "A100-SXM4-80GB,sglang-0.5,flash_attention,2,4096,32,8,128,0,bf16,1.0,137\n"
             "A100-SXM4-80GB,trtllm-1.0,torch_flow,2,4096,32,8,128,0,bf16,1.1,125\n"
             "A100-SXM4-80GB,trtllm-1.0,torch_flow,2,4096,32,8,128,512,bf16,0.3,125\n");
  ASSERT_EQ(imported.measurements.size(), 2u);
  EXPECT_EQ(imported.measurements[0].point,
            MeasuredPoint(AttentionPoint{2, 32, 8, 4096, 4096, 128, true, false, "bf16", "flash2"}));
  EXPECT_EQ(std::get<AttentionPoint>(imported.measurements[1].point).kernel, "trtllm");
  EXPECT_THAT(imported.left_out, ElementsAre(Pair("sliding window", 1)));
}

TEST_F(Import, SimumaxLayouts) {
  const ImportedFiles imported = import(
      "simumax",
      "system,op,nominal_tflops,shape,efficiency,achieved_tflops\n"
      "a100_pcie,matmul,312,\"b=1, m=1000, k=2000, n=3000, layout=NT, accumulate=True, out_dtype=fp32\",0.5,120\n"
      "a100_pcie,sdp_fwd,312,\"batch=1\",0.5,120\n",
      {.gpu = "a100-80gb-pcie"});
  ASSERT_EQ(imported.measurements.size(), 1u);
  EXPECT_EQ(imported.measurements[0].point, MeasuredPoint(GemmPoint{1000, 3000, 2000, 1, "nt", "bf16", true}));
  EXPECT_NEAR(imported.measurements[0].time_us, 100, 1e-9);  // 2 * 1000 * 2000 * 3000 / 120 TFLOP/s
}

TEST_F(Import, CudnnFrontendForwardAndBackward) {
  const ImportedFiles imported =
      import("cudnn-frontend",
             "gpu,model,backend,dtype,mask,batch,seq_q,seq_kv,heads_q,heads_kv,head_dim_qk,head_dim_vo,deterministic_"
             "bwd,pass,time_ms,tflops,backend_version,source_commit\n"
             "H200,l,cudnn,bf16,causal,1,4096,4096,64,8,128,128,False,bwd,2.0,0,9,c\n"
             "H200,l,cudnn,bf16,causal,1,4096,4096,64,8,128,128,True,bwd,2.5,0,9,c\n"
             "GB200,l,cudnn,bf16,no_mask,1,4096,4096,64,8,128,128,False,fwd,1.0,0,9,c\n",
             {.gpu = "h200-141gb-sxm"});
  ASSERT_EQ(imported.measurements.size(), 1u);
  EXPECT_EQ(imported.measurements[0].point,
            MeasuredPoint(AttentionPoint{1, 64, 8, 4096, 4096, 128, true, true, "bf16", "cudnn"}));
  EXPECT_THAT(imported.left_out, ElementsAre(Pair("GPU gb200-186gb", 1), Pair("deterministic backward", 1)));
}

TEST_F(Import, CudnnFrontendNormsAndSuperbenchCopies) {
  const ImportedFiles norms = import("cudnn-frontend",
                                     "gpu,model,norm,backend,dtype,rows,cols,pass,time_ms,gbps\n"
                                     "H200,l,rms_norm,cudnn,bfloat16,16384,4096,bwd,0.100,3000\n");
  EXPECT_EQ(norms.measurements.at(0).point,
            MeasuredPoint(MemoryPoint{"rmsnorm_backward", 300'000'000, 4096}));  // 3000 GB/s x 0.1 ms
  const ImportedFiles copies = import("superbench",
                                      "gpu,source,item,size_bytes,GBps\n"
                                      "V100-PCIE-32GB,h2d.log,h2d,10000,2.0\n"
                                      "V100-PCIE-32GB,h2d.log,cpu_to_gpu0_by_sm,,26.2\n");
  EXPECT_EQ(copies.measurements.at(0).point, MeasuredPoint(CopyPoint{"host", "device", 10000}));
  EXPECT_NEAR(copies.measurements[0].time_us, 5, 1e-9);
}

TEST_F(Import, RefusesBadRowsWithTheirPlace) {
  const std::string header = vidur_gemm;
  const std::string good = "a100,op,128,4096,1024,fp16,0.0100,0.01,0.01,2,107,m,1\n";
  struct Case {
    const char* row;
    const char* problem;
  };
  for (const Case& c :
       {Case{"a100,op,128,4096,1024,fp16,-0.01,0,0,2,1,m,1", "'time_ms' is a number above zero, not '-0.01'"},
        Case{"a100,op,128,4096,1024,fp16,nan,0,0,2,1,m,1", "'time_ms' is a number above zero, not 'nan'"},
        Case{"a100,op,128,4096,1024,fp16,inf,0,0,2,1,m,1", "'time_ms' is a number above zero, not 'inf'"},
        Case{"a100,op,128,4096,1024,fp16,,0,0,2,1,m,1", "'time_ms' is a number above zero, not ''"},
        Case{"a100,op,0,4096,1024,fp16,0.01,0,0,2,1,m,1", "'m' is a whole number of at least 1, not '0'"},
        Case{"a100,op,12.5,4096,1024,fp16,0.01,0,0,2,1,m,1", "'m' is a whole number of at least 1, not '12.5'"},
        Case{"a100,op,128,4096,1024,int4,0.01,0,0,2,1,m,1", "Vidur's tables are fp16 or bf16, not 'int4'"},
        Case{"a100,op,128,4096", "4 columns under a header of 13"},
        Case{"a100,\"op,128,4096,1024,fp16,0.01,0,0,2,1,m,1", "a quote is not closed"},
        Case{"a100,op,128,4096,1024,fp16,0.0250,0,0,2,1,m,1", "contradicts line 2: 10 us and 25 us"}})
    EXPECT_THAT(refusal("vidur", header + good + c.row), HasSubstr(std::string("table.txt:3: ") + c.problem)) << c.row;
  EXPECT_EQ(refusal("vidur", ""), "table.txt: the table is empty");
  EXPECT_THAT(refusal("vidur", "gpu,op,m,n,k,dtype,ms,samples\n"), HasSubstr("table.txt:1: no column 'time_ms'"));
  EXPECT_THAT(refusal("vidur", header), HasSubstr("no measurement in this file"));
  const ImportedFiles dropped = import(
      "vidur",
      header + good + "a100,op,64,64,64,fp16,0.01,0,0,2,1,m,1\n" + "a100,op,128,4096,1024,fp16,0.0250,0,0,2,1,m,1\n",
      {.drop_contradictions = true});
  EXPECT_EQ(dropped.measurements.size(), 1u);
}

TEST_F(Import, TwoFilesMustNotMeasureTheSame) {
  const std::string text = std::string(vidur_gemm) + "a100,op,128,4096,1024,fp16,0.0100,0.01,0.01,2,107,m,1\n";
  const std::string a = write("a.csv", text);
  const std::string b = write("b.csv", text);
  EXPECT_THROW(import_files(importer("vidur"), {a, b}, {}), UserError);
}

}  // namespace
}  // namespace stepcast
