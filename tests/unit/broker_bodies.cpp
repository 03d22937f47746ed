// Bodies that are files: offers, resumed uploads, leases, garbage collection.
#include <catch2/catch.hpp>

#include "tests/unit/broker_world.h"

namespace tram::broker::test {

TEST_CASE("custody of a large body needs every chunk") {
  World world;
  const Document document = world.document(0, three_chunks);
  REQUIRE(document.chunks.size() == 3);
  const Letter letter = world.letter(document, 0, 1);
  CHECK(put_large(world, document, letter).refusal == number(ErrorCode::missing_chunks));
  CHECK(world.offer(document) == Bytes{0});
  CHECK(world.party(0).unpinned_bytes == three_chunks + 3 * 16);
  CHECK(world.put_chunk(document, 2) == 0);
  CHECK(world.put_chunk(document, 0) == 0);
  CHECK(put_large(world, document, letter).refusal == number(ErrorCode::missing_chunks));
  CHECK(world.offer(document) == Bytes{0b101});
  CHECK(world.put_chunk(document, 1) == 0);
  CHECK(put_large(world, document, letter).refusal == 0);
  CHECK(world.party(0).unpinned_bytes == 0);
  CHECK(world.party(0).pinned_bytes == three_chunks + 3 * 16);
  CHECK(world.bodies.files.at(body_name(document.header.id)).synced);
}

TEST_CASE("an upload goes on after a restart where it stopped") {
  World world;
  const Document document = world.document(0, three_chunks);
  world.offer(document);
  CHECK(world.put_chunk(document, 0) == 0);
  world.restart();
  CHECK(world.offer(document) == Bytes{0b001});
  CHECK(world.put_chunk(document, 0) == 0);
  CHECK(world.put_chunk(document, 1) == 0);
  CHECK(world.put_chunk(document, 2) == 0);
  CHECK(put_large(world, document, world.letter(document, 0, 1)).refusal == 0);
}

TEST_CASE("a chunk counts only when it was synced") {
  World world;
  const Document document = world.document(0, three_chunks);
  world.offer(document);
  world.hold_jobs = true;
  std::vector<Event> events;
  events.emplace_back(
      world.frame(World::bulk(1), world.members[0].id, proto::ChunkPut{document.header.id, 0}, document.chunks[0]));
  world.run(std::move(events));
  REQUIRE(world.held.size() == 1);
  std::vector<Event> written;
  written.emplace_back(run_job(std::move(world.held[0]), world.bodies));
  world.held.clear();
  world.run(std::move(written));
  CHECK(world.held.empty());
  REQUIRE(world.wake_at);
  world.now = *world.wake_at;
  world.tick();
  CHECK(World::only<proto::ChunkDone>(world.got(World::bulk(1))).empty());
  REQUIRE(world.held.size() == 1);
  CHECK(std::holds_alternative<SyncBodyJob>(world.held[0]));
  world.hold_jobs = false;
  world.restart();
  CHECK(world.offer(document) == Bytes{0});
}

TEST_CASE("the chunks of a body share a sync, and none waits for long") {
  World world;
  const Document document = world.document(0, 9 * uint64_t{limits::chunk_bytes});
  REQUIRE(document.chunks.size() == 9);
  world.offer(document);
  world.hold_jobs = true;
  const auto put = [&](std::initializer_list<uint32_t> indexes) {
    std::vector<Event> events, written;
    for (const uint32_t index : indexes)
      events.emplace_back(world.frame(World::bulk(1), world.members[0].id, proto::ChunkPut{document.header.id, index}, document.chunks[index]));
    world.run(std::move(events));
    for (Job& job : world.held) written.emplace_back(run_job(std::move(job), world.bodies));
    world.held.clear();
    world.run(std::move(written));
  };
  const auto sync = [&](size_t chunks) {
    REQUIRE(world.held.size() == 1);
    REQUIRE(std::get<SyncBodyJob>(world.held[0]).indexes.size() == chunks);
    std::vector<Event> done;
    done.emplace_back(run_job(std::move(world.held[0]), world.bodies));
    world.held.clear();
    world.run(std::move(done));
    CHECK(World::only<proto::ChunkDone>(world.got(World::bulk(1))).size() == chunks);
  };
  put({0, 1});
  CHECK(world.held.empty());
  put({2, 3});
  CHECK(world.held.empty());
  put({4});
  sync(5);  // half of what may be in flight: its sender has room for more
  put({5});
  CHECK(world.held.empty());
  REQUIRE(world.wake_at);
  CHECK(*world.wake_at - world.now <= milliseconds(20));
  world.now = *world.wake_at;
  world.tick();
  sync(1);  // no more came
  put({6, 7});
  CHECK(world.held.empty());
  put({8});
  sync(3);  // the body is whole
  world.hold_jobs = false;
  CHECK(put_large(world, document, world.letter(document, 0, 1)).refusal == 0);
}

TEST_CASE("a removal that is on its way when a new epoch opens takes nothing that is uploaded meanwhile") {
  World world;
  const Document document = world.document(0, three_chunks);
  world.offer(document);
  CHECK(world.put_chunk(document, 0) == 0);
  world.hold_jobs = true;
  world.now = world.now + limits::lease + hours(2);
  world.settle();
  std::vector<Event> done;
  REQUIRE(std::any_of(world.held.begin(), world.held.end(), [](const Job& job) { return std::holds_alternative<RemoveBodiesJob>(job); }));
  REQUIRE(must(world.broker->recover(world.store, world.bodies, world.now, uint64_t{500})).dropped == 0);
  const auto offered = [&] {
    return world.ask(World::bulk(1), world.members[0].id, proto::Offer{document.header_bytes, document.manifest});
  };
  CHECK(World::refusal(offered()) == number(ErrorCode::busy));
  for (Job& job : world.held) done.emplace_back(run_job(std::move(job), world.bodies));
  world.held.clear();
  world.hold_jobs = false;
  world.run(std::move(done));
  CHECK(World::only<proto::OfferReply>(offered()).size() == 1);
  CHECK(world.put_chunk(document, 0) == 0);
}

TEST_CASE("a large manifest lives beside the body") {
  World world;
  const Document document = world.document(0, 1700 * uint64_t{16});
  CHECK(document.chunks.size() == 1);
  // 1,600 chunks of 256 KiB would be slow here: the manifest's size alone decides, so many ids over small reads.
  crypto::Manifest manifest;
  manifest.padded_bytes = uint64_t{1600} * limits::chunk_bytes;
  const Bytes chunk = random_bytes(world.random, limits::sealed_chunk_bytes);
  manifest.chunks.assign(1600, crypto::chunk_id(chunk));
  Document large = document;
  large.manifest = crypto::encode_manifest(manifest);
  large.header.manifest_id = crypto::manifest_id(large.manifest);
  large.header.padded_bytes = manifest.padded_bytes;
  large.header.chunks = 1600;
  large.header_bytes = crypto::encode_header(large.header, world.members[0].key);
  large.chunks.assign(1600, chunk);
  REQUIRE(large.manifest.size() > limits::broker_row_manifest_bytes_max);
  CHECK(world.offer(large).size() == 200);
  CHECK(world.bodies.files.contains(manifest_name(large.header.id)));
  CHECK(world.put_chunk(large, 1599) == 0);
  CHECK(world.put_chunk(large, 7) == 0);
  large.chunks[8][0] ^= 1;
  CHECK(world.put_chunk(large, 8) == number(ErrorCode::bad_format));
}

TEST_CASE("refusals of offers and chunks") {
  World world([](Config& config) { config.quotas.unpinned_bytes_max = 2 * three_chunks; });
  const Document document = world.document(0, three_chunks);
  SECTION("another sender") {
    CHECK(World::refusal(
              world.ask(World::bulk(3), world.members[2].id, proto::Offer{document.header_bytes, document.manifest})) ==
          number(ErrorCode::forbidden));
  }
  SECTION("forged header") {
    Bytes forged = document.header_bytes;
    forged.back() ^= 1;
    CHECK(World::refusal(world.ask(World::bulk(1), world.members[0].id, proto::Offer{forged, document.manifest})) ==
          number(ErrorCode::bad_signature));
    CHECK(world.bodies.files.empty());
  }
  SECTION("wrong manifest") {
    CHECK(World::refusal(world.ask(World::bulk(1), world.members[0].id,
                                   proto::Offer{document.header_bytes, world.document(0, three_chunks).manifest})) ==
          number(ErrorCode::bad_format));
  }
  SECTION("small bodies ride in Put") {
    const Document small = world.document(0);
    CHECK(World::refusal(
              world.ask(World::bulk(1), world.members[0].id, proto::Offer{small.header_bytes, small.manifest})) ==
          number(ErrorCode::bad_request));
  }
  SECTION("quota of bodies under a lease") {
    world.offer(document);
    const Document second = world.document(0, three_chunks);
    CHECK(World::refusal(world.ask(World::bulk(1), world.members[0].id,
                                   proto::Offer{second.header_bytes, second.manifest})) == number(ErrorCode::quota));
  }
  SECTION("chunks") {
    world.offer(document);
    Document wrong = document;
    wrong.chunks[0][9] ^= 1;
    CHECK(world.put_chunk(wrong, 0) == number(ErrorCode::bad_format));
    wrong.chunks[1].pop_back();
    CHECK(world.put_chunk(wrong, 1) == number(ErrorCode::bad_format));
    // Another agency's namespace.
    const auto done = World::only<proto::ChunkDone>(
        world.ask(World::bulk(3), world.members[2].id, proto::ChunkPut{document.header.id, 0}, document.chunks[0]));
    CHECK(done.at(0).refusal == number(ErrorCode::not_found));
    world.bodies.next_write_fails = ErrorCode::storage_full;
    CHECK(world.put_chunk(document, 0) == number(ErrorCode::storage_full));
    CHECK(world.put_chunk(document, 0) == 0);
  }
  CHECK(world.rows(table::envelope) == 0);
}

TEST_CASE("an I/O error of the body files is fatal") {
  World world;
  const Document document = world.document(0, three_chunks);
  world.offer(document);
  world.bodies.next_write_fails = ErrorCode::io_failed;
  CHECK_THROWS_WITH(world.put_chunk(document, 0), Catch::Contains("io_failed"));
}

TEST_CASE("an abandoned upload is freed after its lease, a pinned body never") {
  World world;
  const Document abandoned = world.document(0, three_chunks);
  const Document pinned = world.document(0, three_chunks);
  world.offer(abandoned);
  world.put_chunk(abandoned, 0);
  world.upload(pinned);
  REQUIRE(put_large(world, pinned, world.letter(pinned, 0, 1)).refusal == 0);
  world.now = world.now + limits::lease - minutes(1);
  world.settle();
  CHECK(world.bodies.files.contains(body_name(abandoned.header.id)));
  world.put_chunk(abandoned, 1);  // refreshes the lease
  world.now = world.now + hours(23);
  world.settle();
  CHECK(world.bodies.files.contains(body_name(abandoned.header.id)));
  world.now = world.now + hours(2);
  world.settle();
  CHECK_FALSE(world.bodies.files.contains(body_name(abandoned.header.id)));
  CHECK(world.bodies.files.contains(body_name(pinned.header.id)));
  CHECK(world.party(0).unpinned_bytes == 0);
  CHECK(world.put_chunk(abandoned, 2) == number(ErrorCode::not_found));
  // It may be offered anew.
  world.upload(abandoned);
  CHECK(put_large(world, abandoned, world.letter(abandoned, 0, 1)).refusal == 0);
}

TEST_CASE("R6: an answered large body goes soon, an urgent one stays until not_after + G") {
  World world;
  const uint64_t large = limits::broker_retained_body_bytes_max + limits::chunk_bytes;
  const Document normal = world.document(0, large);
  const Document urgent = world.document(0, large);
  world.upload(normal);
  world.upload(urgent);
  const Letter to_normal = world.letter(normal, 0, 1);
  const Letter to_urgent = world.letter(urgent, 0, 1, [](auto& e) { e.lane = Lane::urgent; });
  REQUIRE(put_large(world, normal, to_normal).refusal == 0);
  REQUIRE(put_large(world, urgent, to_urgent).refusal == 0);
  world.ack_one(to_normal, 1);
  world.ack_one(to_urgent, 1);
  CHECK(world.stored(to_normal.envelope.id)->state == proto::EnvelopeState::gone);
  CHECK(world.stored(to_urgent.envelope.id)->state == proto::EnvelopeState::acked);
  CHECK(world.party(0).unacked == 0);
  world.now = world.now + hours(2);
  world.settle();
  CHECK_FALSE(world.bodies.files.contains(body_name(normal.header.id)));
  CHECK(world.bodies.files.contains(body_name(urgent.header.id)));
  CHECK(put_large(world, normal, to_normal).refusal == number(ErrorCode::already_gone));
  world.now = world.now + limits::time_to_live + limits::grace;
  world.settle();
  world.now = world.now + hours(2);
  world.settle();
  CHECK_FALSE(world.bodies.files.contains(body_name(urgent.header.id)));
  CHECK(world.party(0).pinned_bytes == 0);
  CHECK(world.party(0).unpinned_bytes == 0);
  CHECK(world.body_rows() == 0);
  CHECK(world.rows(table::envelope) == 0);
  CHECK(world.rows(table::position) == 0);
}

TEST_CASE("files without rows are removed at start, others are kept") {
  World world;
  const Document document = world.document(0, three_chunks);
  world.upload(document);
  world.bodies.files["00ff"] = {};
  world.restart();
  CHECK_FALSE(world.bodies.files.contains("00ff"));
  CHECK(world.bodies.files.contains(body_name(document.header.id)));
}

TEST_CASE("recover opens a new epoch, checks every body and drops what is damaged") {
  World world;
  const Document small_one = world.document(0);
  const Letter small = world.letter(small_one, 0, 1);
  const Bytes old_custody = world.put_one(small_one, small).custody;
  const Document good = world.document(0, three_chunks);
  const Document damaged = world.document(0, three_chunks);
  world.upload(good);
  world.upload(damaged);
  const Letter to_good = world.letter(good, 0, 1);
  const Letter to_damaged = world.letter(damaged, 0, 2);
  REQUIRE(put_large(world, good, to_good).refusal == 0);
  REQUIRE(put_large(world, damaged, to_damaged).refusal == 0);
  const Epoch before = world.broker->epoch();
  world.bodies.files.at(body_name(damaged.header.id)).bytes[limits::sealed_chunk_bytes + 3] ^= 1;
  CHECK(must(world.broker->recover(world.store, world.bodies, world.now)).dropped == 1);
  world.restart();
  CHECK(world.broker->epoch() != before);
  // Every custody of the old epoch is void: all are reported, all are given anew.
  const auto replies = World::only<proto::ReconcileReply>(
      world.ask(World::control(1), world.members[0].id,
                proto::Reconcile{{small.envelope.id, to_good.envelope.id, to_damaged.envelope.id}}));
  CHECK(replies.at(0).missing.size() == 3);
  const auto again = world.put_one(small_one, small);
  REQUIRE(again.refusal == 0);
  CHECK(again.custody != old_custody);
  CHECK(must(crypto::decode_custody(again.custody)).epoch == world.broker->epoch());
  CHECK(must(crypto::decode_custody(again.custody)).position == must(crypto::decode_custody(old_custody)).position);
  CHECK(put_large(world, good, to_good).refusal == 0);
  CHECK(put_large(world, damaged, to_damaged).refusal == number(ErrorCode::missing_chunks));
  CHECK(world.offer(damaged) == Bytes{0b101});
  CHECK(world.put_chunk(damaged, 1) == 0);
  CHECK(put_large(world, damaged, to_damaged).refusal == 0);
}

}  // namespace tram::broker::test
