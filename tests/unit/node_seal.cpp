// What was staged is what is sealed, however it was staged; and what is small is read and decrypted once.
#include "base/limits.h"
#include "crypto/container.h"
#include "crypto/body_check.h"
#include "crypto/hash.h"
#include "node/check.h"
#include "tests/unit/node_api_fixture.h"

namespace tram::node::test {
namespace {

using directory::test::TestRandom;

class CountedBodies final : public Bodies {
 public:
  Result<void> create(std::string_view name, uint64_t bytes) override { return held_.create(name, bytes); }
  Result<void> write(std::string_view name, uint64_t offset, BytesView bytes) override { return held_.write(name, offset, bytes); }
  Result<void> sync(std::string_view name) override {
    synced.emplace(name);
    return held_.sync(name);
  }
  Result<void> read(std::string_view name, uint64_t offset, std::span<uint8_t> out) override {
    read_bytes += out.size();
    return held_.read(name, offset, out);
  }
  Result<void> remove(std::string_view name) override { return held_.remove(name); }
  Result<std::vector<std::string>> list() override { return held_.list(); }
  uint64_t read_bytes = 0;
  std::set<std::string> synced;

 private:
  MapBodies held_;
};

/// A document of these files: the first inside its row, the others as uploads.
struct Staged {
  TestRandom random{5};
  CountedBodies bodies;
  Bytes content;
  uint64_t slots = 0;
  SealJob job;

  explicit Staged(const std::vector<size_t>& files) {
    job.context.realm = random.id<RealmId>();
    job.context.self = random.id<PartyId>();
    job.context.sig = std::make_shared<crypto::SigningKey>(crypto::make_secret(random));
    job.context.hedge = std::make_shared<crypto::Secret32>(crypto::make_secret(random));
    job.record.uuid = random.id<DocUuid>();
    job.record.metadata = proto::encode_metadata({});
    job.record.body_name = "5e00";
    for (size_t i = 0; i < files.size(); ++i) {
      Bytes file(files[i]);
      random.fill(file);
      content.insert(content.end(), file.begin(), file.end());
      proto::StagedFile staged{"a.pdf", "application/pdf", file.size(), {}, {}};
      if (i == 0) staged.content = file;
      else staged.upload = stage(file);
      job.record.staged.push_back(std::move(staged));
    }
  }

  std::string stage(BytesView file) {
    constexpr size_t slot_bytes = limits::upload_slot_bytes;
    proto::UploadRecord upload;
    upload.id = random.id<DocUuid>().hex();
    upload.length = upload.offset = file.size();
    const auto key = crypto::make_secret(random);
    upload.key = to_bytes(key.view());
    const std::string name = upload_name(upload.id);
    REQUIRE(bodies.create(name, 0));
    for (; file.size() >= slot_bytes; file = file.subspan(slot_bytes), ++slots) {
      const size_t slot = (upload.length - file.size()) / slot_bytes;
      Bytes sealed(slot_bytes + limits::chunk_overhead_bytes);
      crypto::seal_slot(key, slot, file.first(slot_bytes), sealed);
      REQUIRE(bodies.write(name, slot * sealed.size(), sealed));
    }
    upload.tail = to_bytes(file);
    job.uploads.push_back(upload);
    return upload.id;
  }

  /// The container's contents, as a recipient opens them.
  Bytes opened() {
    const RealmId realm = job.context.realm;
    const PartyId self = job.context.self;
    Job any = std::move(job);
    auto done = std::get<SealDone>(run_job(any, bodies, random));
    REQUIRE(done.outcome);
    const uint64_t read_before = bodies.read_bytes;
    const crypto::BodyKeys keys(crypto::Secret32(done.record.document_key), {realm, self, done.record.uuid});
    Bytes plain;
    for (uint32_t i = 0; i < done.record.chunks; ++i) {
      const uint64_t offset = uint64_t{i} * limits::sealed_chunk_bytes;
      Bytes sealed(std::min<uint64_t>(limits::sealed_chunk_bytes, done.record.body_bytes - offset));
      if (done.record.inline_body) sealed = done.inline_chunk;
      else REQUIRE(bodies.read(done.record.body_name, offset, sealed));
      Bytes part(sealed.size() - limits::chunk_overhead_bytes);
      REQUIRE(keys.open_chunk(i, i + 1 == done.record.chunks, sealed, part));
      plain.insert(plain.end(), part.begin(), part.end());
    }
    bodies.read_bytes = read_before;
    const uint64_t container = crypto::parse_body_prefix(plain, plain.size()).value();
    const BytesView all = BytesView(plain).subspan(crypto::body_prefix_bytes);
    CHECK(crypto::is_padding(all.subspan(container)));
    const auto prefix = crypto::parse_container_prefix(all.first(container)).value();
    uint64_t at = prefix.content_offset;
    const auto metadata = proto::decode_metadata(prefix.header).value();
    for (const auto& file : metadata.files) {
      CHECK(crypto::sha256({all.subspan(at, file.bytes)}) == file.sha256);
      at += file.bytes;
    }
    CHECK(at == container);
    return to_bytes(all.subspan(prefix.content_offset, container - prefix.content_offset));
  }
};

}  // namespace

TEST_CASE("what was staged is sealed, in rows, in slots and in the bytes behind them") {
  constexpr size_t slot = limits::upload_slot_bytes;
  for (const std::vector<size_t>& files : {std::vector<size_t>{100}, {0, 3}, {10, 2 * slot}, {1, 9 * slot + 7, 0, slot - 1, 4 * slot},
                                           {5, (4u << 20) + 3 * slot + 1, 6 * slot, 8}}) {
    Staged staged(files);
    const Bytes content = staged.content;
    CHECK(staged.opened() == content);
  }
}

TEST_CASE("a manifest is in the document's row, or beside the body when it is too large for that") {
  for (const size_t megabytes : {size_t{1}, size_t{33}}) {
    Staged staged({10, megabytes << 20});
    Job any = std::move(staged.job);
    const auto done = std::get<SealDone>(run_job(any, staged.bodies, staged.random));
    REQUIRE(done.outcome);
    const bool large = 16 + 32 * size_t{done.record.chunks} > limits::node_row_manifest_bytes_max;
    REQUIRE(large == (megabytes == 33));
    CHECK(done.record.manifest.empty() == large);
    const auto names = staged.bodies.list().value();
    CHECK(std::count(names.begin(), names.end(), manifest_name(done.record.body_name)) == (large ? 1 : 0));
    CHECK(staged.bodies.synced.contains(manifest_name(done.record.body_name)) == large);
    CHECK(staged.bodies.synced.contains(done.record.body_name));
    const auto part = body_part(done.record, 0, done.record.chunks).value();
    REQUIRE(part);
    const auto check = crypto::check_body(*part, staged.bodies).value();
    CHECK(check.good());
    CHECK(check.bytes == done.record.body_bytes);
  }
}

TEST_CASE("uploads of a document below 4 MiB are read once") {
  Staged staged({10, 5 * limits::upload_slot_bytes + 9, 2 * limits::upload_slot_bytes});
  const uint64_t slots = staged.slots;
  staged.opened();
  CHECK(staged.bodies.read_bytes == slots * (limits::upload_slot_bytes + limits::chunk_overhead_bytes));
}

}  // namespace tram::node::test
