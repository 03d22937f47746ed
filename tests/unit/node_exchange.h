// A node with brokers to talk to: sessions, frames in, effects out, time.
#pragma once
#include "audit/views.h"
#include "base/limits.h"
#include "directory/signing.h"
#include "tests/unit/node_api_fixture.h"

namespace tram::node::test {

struct Exchange : World {
  Effects tick() { return step({Tick{}}); }
  Effects from(size_t broker, proto::FrameBody body);
  Effects greet(size_t broker);
  void restart();

  /// The brokers' word for the directory held here, or for another root.
  Bytes view_note(std::vector<size_t> who, Time at, std::optional<Hash> root = {});
  Effects show_views(std::vector<Bytes> notes);
  Effects confirm() { return show_views({view_note({0, 1}, now)}); }

  /// The receiving keys of `party` of these days.
  Effects feed(uint64_t number = 1);
  bool has_key() { return realm.directory->kx_epoch(*realm.read(), party.id, now).value().has_value(); }

  /// A document for `party` in the outbox, sealed; wrapped when there is a key.
  Effects send_letter();

  /// What a step gave the workers to wrap, and the step that takes it over.
  Effects wrapped(Effects effects);

  /// The end of the channel to `party`, made in the step that took the sealed document over.
  proto::EnvelopeRecord last_envelope();

  /// The notices of one kind that a step posts for the first time: what no broker has confirmed is posted again and again.
  std::vector<crypto::Notice> notices(const Effects& effects, crypto::NoticeKind kind);
  std::set<Hash> posted;

  Effects heard(crypto::Notice notice);
  /// What `party` says of an envelope of ours, unsigned; and how it arrives.
  crypto::Receipt receipt_for(const proto::EnvelopeRecord& of);
  Effects receipt_comes(crypto::Receipt receipt);
  proto::ItemRecord item_of(const proto::EnvelopeRecord& envelope);
  crypto::Notice notice(crypto::NoticeKind kind, uint64_t seq, const EnvelopeId& env_id);
};

template <class Body>
std::vector<Body> sent(const Effects& effects) {
  std::vector<Body> out;
  for (const auto& one : effects.sends)
    if (const auto* body = std::get_if<Body>(&one.frame.body)) out.push_back(*body);
  return out;
}
template <class Wanted>
std::vector<const Wanted*> jobs_of(const Effects& effects) {
  std::vector<const Wanted*> out;
  for (const auto& job : effects.jobs)
    if (const auto* one = std::get_if<Wanted>(&job)) out.push_back(one);
  return out;
}

}  // namespace tram::node::test
