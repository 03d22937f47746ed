// Heads that the node has heard and whose envelopes have not come (R14), as the store keeps them. Pure values.
#pragma once
#include "base/limits.h"
#include "base/ports.h"

namespace tram::node {

/// A row of table::head_in.
struct HeadRow {
  uint32_t inc = 0;
  uint64_t seq = 0;
  EnvelopeId env_id;
  Time since;  // of the first head of this channel that was ahead of us
  Time asked;  // when the sender was last told, 0: not yet
  bool said = false;  // the alarm is in the log
};
Bytes encode_head_row(const HeadRow&);
/// Error: store_corrupt.
Result<HeadRow> decode_head_row(BytesView);

/// What has not come for T_gap although its sender says that it was sent: withheld, or never sent.
struct Withheld {
  PartyId sender;
  Lane lane = Lane::normal;
  uint64_t seq = 0;
  Time since;
};
Result<std::vector<Withheld>> withheld(ReadTxn&, Time now);

}  // namespace tram::node
