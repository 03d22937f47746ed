// What parties sign about documents: receipts and the cells that hide them, custody receipts, ACKs, notices. They start
// with different magics, so one input is given to all and at most one takes it.
#include "base/limits.h"
#include "crypto/seal.h"
#include "proto/document.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

namespace {

void check_text(const crypto::Receipt& receipt) {
  require(crypto::is_receipt_text(receipt.text), "the text of a receipt can be shown");
  auto text = proto::decode_receipt_text(view(receipt.text));
  if (!text) return;
  auto again = proto::encode_receipt_text(*text);
  if (!again) {
    require(again.error().code == ErrorCode::too_large, "what was read is UTF-8");
    return;
  }
  auto same = proto::decode_receipt_text(*again);
  require(same && proto::encode_receipt_text(*same).value() == *again, "one text is written in one way");
}

void check_cell(BytesView in) {
  static const crypto::KxKeyPair mine = crypto::kx_pair_from(crypto::Secret32(Bytes(32, 0x11)));
  auto opened = crypto::open_cell(in, mine);
  if (opened) require(in.size() == limits::cell_bytes, "a cell has 1,536 bytes");
  if (auto id = crypto::cell_key_id(in)) require(in.size() == limits::cell_bytes, "a cell has 1,536 bytes");
  if (draw(in) % 16 != 0 || in.size() > 1472) return;
  Chance chance(draw(in));
  auto cell = crypto::seal_cell(in, mine.public_key, chance);
  require(cell && cell->size() == limits::cell_bytes, "all cells look the same");
  auto back = crypto::open_cell(*cell, mine);
  require(back && equal(*back, in), "what was sealed comes out");
}

}  // namespace

void one_input(BytesView in) {
  check_signed_object<crypto::Receipt>(in, crypto::receipt_label, crypto::decode_receipt, crypto::encode_receipt,
                                       crypto::verify_receipt);
  check_signed_object<crypto::Custody>(in, crypto::custody_label, crypto::decode_custody, crypto::encode_custody,
                                       crypto::verify_custody);
  check_signed_object<crypto::Ack>(in, crypto::ack_label, crypto::decode_ack, crypto::encode_ack, crypto::verify_ack);
  check_signed_object<crypto::Notice>(in, crypto::notice_label, crypto::decode_notice, crypto::encode_notice,
                                      crypto::verify_notice);
  auto receipt = crypto::decode_receipt(in);
  auto custody = crypto::decode_custody(in);
  auto ack = crypto::decode_ack(in);
  auto notice = crypto::decode_notice(in);
  require(int(receipt.has_value()) + int(custody.has_value()) + int(ack.has_value()) + int(notice.has_value()) <= 1,
          "an object is of one kind (R36)");
  if (receipt) check_text(*receipt);
  if (ack) require(ack->seen.size() <= crypto::queues_seen_max, "an ACK names at most eight queues");
  check_cell(in);
}

}  // namespace tram::fuzz
