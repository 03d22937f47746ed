// How the node is, what is wrong with it and what to do: /v1/health; who it is: /v1/self.
#include "audit/own_log.h"
#include "audit/views.h"
#include "base/limits.h"
#include "node/api/internal.h"
#include "node/heads.h"
#include "node/metadata_rules.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node::api {
namespace {

constexpr Duration queue_age_alarm = hours(1);
constexpr Duration certificate_alarm = days(30);
constexpr Duration certificate_last_alarm = days(7);
constexpr Duration unwitnessed_alarm = hours(24);
constexpr Duration backup_age_alarm = days(7);
constexpr Duration full_alarm = minutes(1);
constexpr int64_t clock_offset_alarm_ms = 5000;
constexpr Duration undeliverable_shown = days(7);
constexpr size_t undeliverable_max = 1000;
constexpr size_t backlog_rows_max = 1000;  // a broker; beyond it "or more"

enum class Severity { info, warning, error };

class Problems {
 public:
  void add(Severity severity, const char* code, std::string vi, std::string en, std::string do_vi, std::string do_en) {
    static constexpr const char* names[] = {"info", "warning", "error"};
    worst_ = std::max(worst_, severity);
    list_.push_back({{"severity", names[static_cast<size_t>(severity)]},
                     {"code", code},
                     {"what", {{"vi", std::move(vi)}, {"en", std::move(en)}}},
                     {"do", {{"vi", std::move(do_vi)}, {"en", std::move(do_en)}}}});
  }
  const Json& list() const { return list_; }
  const char* summary() const {
    return worst_ == Severity::error ? "failing" : worst_ == Severity::warning ? "degraded" : "ok";
  }

 private:
  Json list_ = Json::array();
  Severity worst_ = Severity::info;
};

/// When the oldest envelope that still lacks custody was made; a broker's rows are in order within a lane.
Result<Time> oldest_queued(const ReadContext& context) {
  Time oldest;
  for (const auto& broker : context.health.brokers)
    for (size_t lane = 0; lane < lane_count; ++lane) {
      const Bytes prefix = row_key(broker.id, static_cast<Lane>(lane));
      TRAM_TRY(rows, context.txn.scan(table::pending, prefix, prefix_end(prefix), 1));
      if (rows.empty()) continue;
      TRAM_TRY(envelope, find<proto::EnvelopeRecord>(context.txn, table::envelope, rows[0].value));
      if (!envelope) continue;
      TRAM_TRY(item, find<proto::ItemRecord>(context.txn, table::item, row_key(envelope->uuid, envelope->recipient)));
      if (item && item->state <= proto::ItemState::queued && item->queued.ms &&
          (oldest.ms == 0 || item->queued < oldest))
        oldest = item->queued;
    }
  return oldest;
}

/// Envelopes that still want custody, by broker, and those among them that too few brokers hold to be accepted.
struct Backlog {
  std::map<PartyId, size_t> pending;
  size_t depth = 0;
  bool more = false;  // the numbers are lower bounds
};
Result<Backlog> count_backlog(const ReadContext& context) {
  Backlog backlog;
  std::map<Bytes, size_t> wanted_by;
  for (const auto& broker : context.health.brokers) {
    TRAM_TRY(rows, context.txn.scan(table::pending, broker.id, prefix_end(broker.id), backlog_rows_max));
    backlog.pending[broker.id] = rows.size();
    backlog.more |= rows.size() == backlog_rows_max;
    for (const Row& row : rows) ++wanted_by[row.value];
  }
  const size_t brokers = context.health.brokers.size(), quorum = context.directory.policy(context.now).custody_quorum;
  const size_t may_lack = brokers > quorum ? brokers - quorum : 0;
  for (const auto& [envelope, count] : wanted_by) backlog.depth += count > may_lack;
  return backlog;
}

std::string percent(uint64_t part, uint64_t whole) { return std::to_string(whole ? part * 100 / whole : 0) + " %"; }

void check_brokers(const ReadContext& context, Problems& problems) {
  const auto& view = context.health;
  const auto connected = static_cast<size_t>(
      std::count_if(view.brokers.begin(), view.brokers.end(), [](const auto& b) { return b.connected; }));
  const uint32_t wanted = context.directory.policy(context.now).custody_quorum;
  if (view.brokers.empty())
    return problems.add(Severity::error, "no_brokers", "Danh bạ chưa có trạm nào.", "The directory names no broker.",
                        "Kiểm tra tệp phê duyệt đã nhập đúng chưa.", "Check that the approval file was imported.");
  if (connected == 0)
    problems.add(Severity::error, "unreachable", "Không tới được trạm nào; văn bản nằm chờ và sẽ được gửi sau.",
                 "No broker is reachable; documents wait and are sent later.",
                 "Kiểm tra mạng và tường lửa tới các địa chỉ trạm trong danh bạ.",
                 "Check the network and the firewall to the brokers' addresses in the directory.");
  else if (connected < wanted)
    problems.add(
        Severity::error, "too_few_brokers",
        "Chỉ tới được " + std::to_string(connected) + " trạm, cần " + std::to_string(wanted) + " để xác nhận gửi.",
        "Only " + std::to_string(connected) + " brokers are reachable; " + std::to_string(wanted) +
            " are needed to accept a document.",
        "Kiểm tra mạng tới các trạm còn lại.", "Check the network to the others.");
  else if (connected < view.brokers.size())
    problems.add(Severity::warning, "broker_down",
                 "Mất kết nối " + std::to_string(view.brokers.size() - connected) +
                     " trạm; văn bản vẫn được gửi qua các trạm khác.",
                 std::to_string(view.brokers.size() - connected) +
                     " brokers are not reachable; documents still go through the others.",
                 "Nếu kéo dài, báo đơn vị vận hành trạm.", "If it lasts, tell the brokers' operator.");
  bool offset = false;
  for (const auto& broker : view.brokers)
    offset |= broker.connected && std::abs(broker.clock_offset.ms) > clock_offset_alarm_ms;
  if (offset)
    problems.add(Severity::error, "clock_wrong", "Đồng hồ máy lệch so với các trạm.",
                 "The clock differs from the brokers'.", "Bật đồng bộ thời gian: timedatectl set-ntp true.",
                 "Synchronise it: timedatectl set-ntp true.");
  else if (!view.clock_ok)
    problems.add(Severity::warning, "clock_unsynchronised",
                 "Hệ điều hành chưa xác nhận đồng hồ được đồng bộ; biên nhận ghi rõ điều này.",
                 "The system does not vouch for the clock; receipts say so.",
                 "Bật đồng bộ thời gian: timedatectl set-ntp true.", "Synchronise it: timedatectl set-ntp true.");
}

void check_disk(const HealthView& view, Problems& problems) {
  if (view.disk_total_bytes) {
    const uint64_t used = view.disk_total_bytes - std::min(view.disk_free_bytes, view.disk_total_bytes);
    const uint64_t at = used * 100 / view.disk_total_bytes;
    if (at >= limits::disk_refuse_bulk_percent)
      problems.add(at >= limits::disk_refuse_all_but_control_percent ? Severity::error : Severity::warning,
                   "storage_full", "Đĩa đã dùng " + percent(used, view.disk_total_bytes) + ".",
                   "The disk is " + percent(used, view.disk_total_bytes) + " full.",
                   "Giải phóng dung lượng hoặc gắn đĩa lớn hơn cho thư mục dữ liệu.",
                   "Free some space, or give the data directory a larger disk.");
  }
  if (view.store_map_bytes && view.store_used_bytes * 100 / view.store_map_bytes >= limits::disk_refuse_bulk_percent)
    problems.add(Severity::warning, "map_full",
                 "Kho đã dùng " + percent(view.store_used_bytes, view.store_map_bytes) + ".",
                 "The store's map is " + percent(view.store_used_bytes, view.store_map_bytes) + " full.",
                 "Tăng store.map_bytes rồi khởi động lại.", "Raise store.map_bytes and restart.");
}

void check_certificate(const ReadContext& context, Problems& problems) {
  const Time expires = context.health.certificate_expires;
  if (expires.ms == 0 || context.now + certificate_alarm < expires) return;
  const bool past = expires <= context.now;
  const std::string date = proto::to_text(local_date(expires));
  problems.add(past || expires < context.now + certificate_last_alarm ? Severity::error : Severity::warning,
               "certificate_expires",
               (past ? "Chứng thư TLS đã hết hạn ngày " : "Chứng thư TLS hết hạn ngày ") + date + ".",
               (past ? "The TLS certificate expired on " : "The TLS certificate expires on ") + date + ".",
               "Thay tệp chứng thư; nút tự đọc lại, không cần khởi động lại.",
               "Replace the certificate file; the node reads it by itself, without a restart.");
}

Result<void> check_self(const ReadContext& context, Problems& problems) {
  TRAM_TRY(state, context.directory.agency(context.txn, context.self, context.now));
  if (!state) {
    problems.add(Severity::error, "unknown_agency", "Cơ quan này chưa có trong danh bạ.",
                 "This agency is not in the directory yet.",
                 "Gửi yêu cầu đăng ký tới cơ quan quản lý danh bạ và nhập tệp phê duyệt.",
                 "Send the enrolment request to the directory authority and import its approval.");
    return {};
  }
  if (state->status == proto::AgencyStatus::closed)
    problems.add(Severity::error, "closed_agency", "Cơ quan này đã kết thúc hoạt động; không gửi được nữa.",
                 "This agency is closed; it cannot send any more.",
                 "Nhận nốt văn bản còn lại rồi bàn giao cho cơ quan kế thừa.",
                 "Take the remaining mail, then hand over to the successor.");
  if (state->status == proto::AgencyStatus::suspended)
    problems.add(Severity::error, "suspended_agency", "Cơ quan này đang bị tạm đình chỉ.", "This agency is suspended.",
                 "Liên hệ cơ quan quản lý danh bạ.", "Contact the directory authority.");
  TRAM_TRY(record, find<proto::NodeRecord>(context.txn, table::self, view("self")));
  const bool ended = context.health.kx_until.ms != 0 && context.health.kx_until < context.now;
  if (!record || record->kx_feed == 0 || ended)
    problems.add(Severity::warning, "kx_missing", "Chưa công bố khóa nhận hôm nay; nơi khác chưa gửi tới được.",
                 "No receiving key is published for today; others cannot send here.",
                 "Giữ nút chạy và nối với trạm; khóa được công bố tự động.",
                 "Keep the node running and connected; keys are published by themselves.");
  return {};
}

/// What could not go to anybody since its recipient, or this agency, closed (R31): until somebody sends it again, or a week has gone.
Result<void> check_undeliverable(const ReadContext& context, Problems& problems) {
  size_t count = 0;
  std::string first;
  TRAM_TRY(rows, context.txn.scan(table::undeliverable, row_key(context.now - undeliverable_shown), {}, undeliverable_max));
  for (const Row& row : rows) {
    TRAM_TRY(item, find<proto::ItemRecord>(context.txn, table::item, BytesView(row.key).subspan(8)));
    if (!item || item->state != proto::ItemState::undeliverable) continue;  // its receipt came after all
    if (count++ == 0) first = item->uuid.hex();
  }
  if (count == 0) return {};
  const std::string number = std::to_string(count) + (rows.size() == undeliverable_max ? "+" : "");
  problems.add(Severity::warning, "undeliverable", number + " văn bản không giao được vì nơi nhận (hoặc cơ quan này) đã kết thúc hoạt động.",
               number + " documents cannot be delivered: their recipient, or this agency, has closed.",
               "Xem `tram show " + first + "` rồi gửi lại cho cơ quan kế thừa nêu ở đó.",
               "See `tram show " + first + "`, then send it to one of the successors named there.");
  return {};
}

/// A store put back, a copy of this node that runs elsewhere, no backup for long (R13, R21, R24).
Result<void> check_recovery(const ReadContext& context, Problems& problems) {
  if (context.health.fenced)
    problems.add(Severity::error, "fenced", "Một bản mới hơn của nút này đã chạy: đây là bản sao hoặc bản cũ.",
                 "A newer incarnation of this node is known: this one is a copy, or an old store.",
                 "Dừng bản thừa. Nếu đây là bản phải dùng: dừng nút, chạy `tram-node recover`, rồi chạy lại.",
                 "Stop the one too many. If this is the right one: stop it, run `tram-node recover`, start it again.");
  if (!context.health.keys_in_force)
    problems.add(Severity::error, "keys_not_in_force", "Danh bạ ghi khóa khác cho nút này: nút không ký, không gửi, không nhận.",
                 "The directory names other keys for this node: it signs, sends and takes nothing.",
                 "Vừa đổi khóa: dừng nút, chạy `tram-node accept` với tệp phê duyệt, rồi chạy lại. Nếu không ai đổi khóa: báo ngay cơ quan quản lý danh bạ.",
                 "Keys were renewed: stop it, run `tram-node accept` with the approval, start it again. If nobody renewed them: tell the authority at once.");
  if (context.health.recovery != proto::Recovery::none)
    problems.add(Severity::warning, "recovering", "Nút đang khôi phục: chưa xác nhận văn bản đến.",
                 "The node is recovering: it acknowledges nothing yet.",
                 "Chờ nối được với đủ số trạm; việc còn lại tự chạy.",
                 "Wait until enough brokers are connected; the rest goes by itself.");
  TRAM_TRY(record, find<proto::NodeRecord>(context.txn, table::self, view("self")));
  if (!record || context.directory.practice()) return {};
  if (record->last_backup.ms == 0)
    problems.add(Severity::info, "no_backup", "Chưa có bản sao lưu nào.", "There is no backup yet.",
                 "Chạy `tram-node backup --to <thư mục>` mỗi ngày.", "Run `tram-node backup --to <folder>` every day.");
  else if (record->last_backup + backup_age_alarm < context.now)
    problems.add(Severity::warning, "backup_old", "Bản sao lưu gần nhất đã quá bảy ngày.",
                 "The last backup is older than seven days.", "Chạy `tram-node backup --to <thư mục>`.",
                 "Run `tram-node backup --to <folder>`.");
  return {};
}

/// Our log before its witnesses; whatever proves that somebody forked his.
Result<Json> check_log(const ReadContext& context, Problems& problems) {
  Json json{{"standing", context.health.log_standing}, {"cosigners", Json::array()}};
  TRAM_TRY(note, audit::best_own_note(context.txn));
  Time newest;
  if (const auto shown = crypto::decode_signed_checkpoint(note)) {
    json["origin"] = shown->checkpoint.origin.text();
    json["size"] = shown->checkpoint.size;
    json["root"] = shown->checkpoint.root.hex();
    for (const auto& one : shown->note.signatures) {
      const auto cosignature = audit::find_cosignature(context.directory, context.now, shown->note.text, one);
      if (!cosignature) continue;
      newest = std::max(newest, cosignature->at);
      json["cosigners"].push_back({{"id", cosignature->by.hex()},
                                   {"kind", cosignature->kind == crypto::LogKind::broker ? "broker" : "witness"},
                                   {"time", time_json(cosignature->at)}});
    }
  }
  TRAM_TRY(last, context.txn.get(audit::own_log_table, tram::view("note")));
  if (const auto signed_last = crypto::decode_signed_checkpoint(last.value_or(Bytes{})))
    json["signed_size"] = signed_last->checkpoint.size;
  TRAM_TRY(evidence, audit::count_evidence(context.txn));
  json["evidence"] = evidence;
  if (evidence > 0)
    problems.add(Severity::error, "evidence_found", "Có bằng chứng sổ nhật ký của một bên đã bị rẽ nhánh.",
                 "There is evidence that a party's log was forked.",
                 "Giữ nguyên kho, gửi tệp evidence/*.evidence cho cơ quan quản lý danh bạ.",
                 "Keep the store as it is; take evidence/*.evidence to the directory authority.");
  if (std::string_view(context.health.log_standing) == "restored")
    problems.add(Severity::error, "restored_copy", "Kho này là bản sao cũ; nút đang khôi phục.",
                 "This store is an old copy; the node is recovering.",
                 "Giữ nút chạy và nối với các trạm.", "Keep the node running and connected to the brokers.");
  const bool settled = context.now - context.health.started > unwitnessed_alarm;
  if (settled && !context.health.brokers.empty() && context.now - newest > unwitnessed_alarm)
    problems.add(Severity::warning, "not_witnessed", "Sổ nhật ký chưa được nhân chứng nào ký quá 24 giờ.",
                 "No witness has countersigned the log for over 24 hours.", "Kiểm tra kết nối tới các trạm.",
                 "Check the connection to the brokers.");
  return json;
}

/// Rot (3.9): what the scrub found, what is being mended, what needs somebody.
Result<Json> check_scrub(const ReadContext& context, Problems& problems) {
  const auto& view = context.health;
  Json received = Json::array(), sent = Json::array();
  bool sender_asked = false;
  TRAM_TRY(rows, context.txn.scan(table::damaged, {}, {}, limits::page_items_max));
  for (const Row& row : rows) {
    Reader reader(row.value);
    const bool ours = reader.u8() != 0;
    reader.u64();
    sender_asked |= !ours && reader.u64() != 0;
    (ours ? sent : received).push_back(to_hex(row.key));
  }
  if (!view.damaged_rows.empty())
    problems.add(Severity::error, "rows_damaged", std::to_string(view.damaged_rows.size()) + " dòng trong kho bị hỏng trên đĩa.",
                 std::to_string(view.damaged_rows.size()) + " rows of the store are damaged on the disk.",
                 "Kiểm tra đĩa. Dừng nút, chạy `tram-node recover`, rồi chạy lại.",
                 "Check the disk. Stop the node, run `tram-node recover`, start it again.");
  if (!received.empty())
    problems.add(Severity::warning, "bodies_damaged", "Nội dung của " + std::to_string(received.size()) + " văn bản đến bị hỏng trên đĩa.",
                 "The content of " + std::to_string(received.size()) + " received documents is damaged on the disk.",
                 sender_asked ? "Kiểm tra đĩa. Trạm không còn bản nào; nơi gửi đã được yêu cầu gửi lại."
                              : "Kiểm tra đĩa. Nội dung đang được lấy lại từ các trạm, nếu không thì từ nơi gửi.",
                 sender_asked ? "Check the disk. Brokers hold no copy; the senders were asked to send again."
                              : "Check the disk. It is fetched again from brokers, else from the senders.");
  if (!sent.empty())
    problems.add(Severity::error, "sent_bodies_damaged", "Nội dung của " + std::to_string(sent.size()) + " văn bản đi bị hỏng trên đĩa.",
                 "The content of " + std::to_string(sent.size()) + " sent documents is damaged on the disk.",
                 "Kiểm tra đĩa. Nơi nhận nào chưa nhận (`tram show <mã>`) thì gửi lại văn bản ấy, hoặc phục hồi bản sao lưu.",
                 "Check the disk. To recipients that lack it (`tram show <id>`) send the document anew, or restore a backup.");
  const Time since = view.scrub_ended.ms ? view.scrub_ended : view.started;
  if (since.ms && context.now - since > limits::scrub_overdue)
    problems.add(Severity::warning, "scrub_overdue", "Kho chưa được đọc kiểm tra hết trong bảy ngày.",
                 "Not everything stored has been read and checked within seven days.", "Giữ nút chạy; xem đĩa có chậm không.",
                 "Keep the node running; see whether the disk is slow.");
  return Json{{"ended", time_json(view.scrub_ended)},
              {"rows", view.scrub.rows},
              {"bodies", view.scrub.bodies},
              {"bytes", view.scrub.bytes},
              {"found_rows", view.scrub.damaged_rows},
              {"found_bodies", view.scrub.damaged_bodies},
              {"damaged_rows", view.damaged_rows},
              {"damaged_received", received},
              {"damaged_sent", sent},
              {"repaired_bodies", view.repaired_bodies}};
}

/// Brokers and witnesses that have not cosigned the view held here for a day.
std::string silent_cosigners(const ReadContext& context) {
  std::string names;
  const auto add_if_silent = [&](const PartyId& id, const std::string& name) {
    for (const auto& one : context.health.directory_cosigners)
      if (one.id == id && one.size == context.directory.size() && context.now - one.at < limits::view_old_after) return;
    names += (names.empty() ? "" : ", ") + name;
  };
  for (const auto& one : context.directory.brokers(context.now)) add_if_silent(one.record.id, one.record.name);
  for (const auto& one : context.directory.witnesses(context.now)) add_if_silent(one.record.id, one.record.name);
  return names;
}

/// Whether others hold the directory that we hold, and since when nobody has said so (R27, R28).
Result<Json> check_directory(const ReadContext& context, Problems& problems) {
  const auto& view = context.health;
  const Time from = view.directory_confirmed.ms ? view.directory_confirmed : view.directory_since;
  const Duration age = from.ms && context.now > from ? context.now - from : Duration{};
  const auto freshness = audit::freshness_at(age);
  if (freshness != audit::Freshness::fresh) {
    std::string vi = "Nhân chứng chưa xác nhận danh bạ " + std::to_string(age.ms / hours(1).ms) + " giờ";
    std::string en = "The witnesses have not confirmed the directory for " + std::to_string(age.ms / hours(1).ms) + " hours";
    if (freshness == audit::Freshness::no_new_keys) {
      vi += "; khóa mới không được nhận";
      en += "; new keys are not accepted";
    } else if (freshness == audit::Freshness::no_sending) {
      vi += "; không gửi văn bản mới";
      en += "; no new document is sent";
    }
    if (const std::string silent = silent_cosigners(context); !silent.empty()) {
      vi += "; chưa ký: " + silent;
      en += "; silent: " + silent;
    }
    problems.add(freshness == audit::Freshness::old ? Severity::warning : Severity::error, "directory_old", vi + ".", en + ".",
                 "Kiểm tra kết nối tới các trạm và đồng hồ máy.", "Check the connection to the brokers, and the clock.");
  }
  TRAM_TRY(conflicts, audit::view_conflicts(context.txn));
  const bool split = audit::is_split(context.directory, context.now, conflicts);
  Json others = Json::array();
  for (const auto& one : conflicts) {
    const bool cosigner = one.kind == audit::ViewConflict::Kind::cosigner;
    others.push_back({{"id", one.by.hex()},
                      {"kind", cosigner ? "witness" : "agency"},
                      {"size", one.size},
                      {"found", time_json(one.found)}});
    if (cosigner && !split)
      problems.add(Severity::error, "view_contradicts", "Nhân chứng " + one.by.hex() + " đã ký một danh bạ khác.",
                   "Witness " + one.by.hex() + " has cosigned another directory.",
                   "Giữ nguyên kho, gửi tệp evidence/*.split cho cán bộ an ninh của cơ quan quản lý danh bạ.",
                   "Keep the store as it is; take evidence/*.split to the directory authority's security officers.");
    if (!cosigner)
      problems.add(Severity::warning, "view_differs", "Cơ quan " + one.by.hex() + " ký theo một danh bạ khác; văn bản đó không được nhận.",
                   "Agency " + one.by.hex() + " signs by another directory; that was not taken.",
                   "Báo cơ quan đó và cơ quan quản lý danh bạ; vật đã ký ở evidence/*.view.",
                   "Tell that agency and the directory authority; what it signed is in evidence/*.view.");
  }
  if (split)
    problems.add(Severity::error, "directory_split", "Có hai danh bạ khác nhau, đều đủ nhân chứng ký; ngừng gửi văn bản mật.",
                 "Two different directories are shown, each cosigned by enough witnesses; nothing confidential is sent.",
                 "Giữ nguyên kho, gửi ngay tệp evidence/*.split cho cán bộ an ninh của cơ quan quản lý danh bạ.",
                 "Keep the store as it is; take evidence/*.split to the directory authority's security officers at once.");
  Json cosigners = Json::array();
  for (const auto& one : view.directory_cosigners)
    cosigners.push_back({{"id", one.id.hex()},
                         {"kind", context.directory.broker(one.id) ? "broker" : "witness"},
                         {"size", one.size},
                         {"time", time_json(one.at)}});
  static constexpr const char* names[] = {"fresh", "old", "no_new_keys", "no_sending"};
  return Json{{"size", context.directory.size()},
              {"root", context.directory.root().hex()},
              {"confirmed", time_json(view.directory_confirmed)},
              {"freshness", names[static_cast<size_t>(freshness)]},
              {"cosigners", cosigners},
              {"contradictions", others}};
}

/// What its sender says was sent, and no broker has shown (R14).
Result<void> check_withheld(const ReadContext& context, Problems& problems) {
  TRAM_TRY(missing, withheld(context.txn, context.now));
  for (const auto& one : missing)
    problems.add(Severity::error, "withheld",
                 "Văn bản của " + one.sender.hex() + " báo đã gửi nhưng chưa tới từ " + proto::to_text(local_date(one.since)) + ".",
                 "A document of " + one.sender.hex() + " was said to be sent and has not come since " + proto::to_text(local_date(one.since)) + ".",
                 "Hỏi cơ quan gửi; báo đơn vị vận hành trạm: có thể trạm giữ lại.",
                 "Ask the sender; tell the brokers' operators: they may be withholding it.");
  return {};
}

Json brokers_json(const ReadContext& context, const Backlog& backlog) {
  Json list = Json::array();
  for (const auto& view : context.health.brokers) {
    Json one{{"id", view.id.hex()}};
    if (const auto broker = context.directory.broker(view.id)) {
      one["name"] = broker->record.name;
      one["failure_domain"] = broker->record.failure_domain;
      one["endpoint"] = broker->record.control_endpoint;
    }
    one["connected"] = view.connected;
    one["last_heard"] = time_json(view.last_heard);
    const size_t pending = backlog.pending.at(view.id);
    one["pending"] = pending;
    one["pending_more"] = pending == backlog_rows_max;
    one["clock_offset_ms"] = view.clock_offset.ms;
    list.push_back(one);
  }
  return list;
}

}  // namespace

Result<Response> read_health(const ReadContext& context, const Request& request) {
  TRAM_OK(check_query(request, {}));
  const auto& view = context.health;
  Problems problems;
  TRAM_OK(check_self(context, problems));
  TRAM_OK(check_recovery(context, problems));
  TRAM_OK(check_undeliverable(context, problems));
  check_brokers(context, problems);
  TRAM_TRY(oldest, oldest_queued(context));
  if (oldest.ms && oldest + queue_age_alarm < context.now)
    problems.add(Severity::warning, "queue_old", "Có văn bản nằm chờ gửi quá một giờ.",
                 "A document has waited to be sent for over an hour.", "Xem `tram outbox --state queued`.",
                 "See `tram outbox --state queued`.");
  check_disk(view, problems);
  if (view.full_at.ms && context.now - view.full_at < full_alarm)
    problems.add(Severity::error, "store_full", "Kho vừa không ghi được vì hết chỗ; việc dở dang được làm lại khi có chỗ.",
                 "The store could not be written to for want of room; what was under way is done when there is room.",
                 "Giải phóng đĩa, hoặc tăng store.map_bytes rồi khởi động lại.",
                 "Free some space on the disk, or raise store.map_bytes and restart.");
  check_certificate(context, problems);
  TRAM_TRY(directory, check_directory(context, problems));
  TRAM_OK(check_withheld(context, problems));
  TRAM_TRY(log, check_log(context, problems));
  TRAM_TRY(scrub, check_scrub(context, problems));
  TRAM_TRY(aside, context.txn.scan(table::quarantine, {}, {}, limits::page_items_max));
  if (!aside.empty())
    problems.add(Severity::warning, "quarantined", std::to_string(aside.size()) + " văn bản đã bị cách ly vì mở ra làm nút dừng.",
                 std::to_string(aside.size()) + " documents were put aside because opening them stopped the node.",
                 "Xem `tram inbox --quarantine`; nơi gửi đã được báo. Gửi nhật ký của nút cho đơn vị phát triển.",
                 "See `tram inbox --quarantine`; their senders were told. Send the node's log to the developers.");
  if (context.directory.practice())
    problems.add(Severity::info, "practice_realm", "Đây là mạng thực hành.", "This is a practice realm.",
                 "Không dùng cho văn bản thật.", "Do not use it for real documents.");

  TRAM_TRY(backlog, count_backlog(context));
  TRAM_TRY(waiting, context.txn.scan(table::todo, {}, {}, limits::page_items_max));
  TRAM_TRY(record, find<proto::NodeRecord>(context.txn, table::self, tram::view("self")));
  Json json;
  json["status"] = problems.summary();
  json["practice"] = context.directory.practice();
  json["problems"] = problems.list();
  json["brokers"] = brokers_json(context, backlog);
  json["queue"] = {{"depth", backlog.depth},
                   {"depth_more", backlog.more},
                   {"without_envelope", waiting.size()},
                   {"without_envelope_more", waiting.size() == limits::page_items_max},
                   {"oldest", time_json(oldest)}};
  json["disk"] = {{"total_bytes", view.disk_total_bytes},
                  {"free_bytes", view.disk_free_bytes},
                  {"store_used_bytes", view.store_used_bytes},
                  {"store_map_bytes", view.store_map_bytes},
                  {"full_steps", view.full_steps}};
  json["scrub"] = scrub;
  json["quarantined"] = aside.size();
  json["clock_ok"] = view.clock_ok;
  json["directory"] = directory;
  json["log"] = log;
  json["kx"] = {{"feed", record ? record->kx_feed : 0}, {"until", time_json(view.kx_until)}};
  json["certificate_expires"] = time_json(view.certificate_expires);
  json["version"] = view.version;
  json["started"] = time_json(view.started);
  json["time"] = time_json(context.now);
  return json_response(200, json);
}

Result<Response> read_self(const ReadContext& context, const Request& request) {
  TRAM_OK(check_query(request, {}));
  Parties parties(context.txn, context.directory, context.now);
  TRAM_TRY(party, parties.json(context.self));
  TRAM_TRY(state, context.directory.agency(context.txn, context.self, context.now));
  TRAM_TRY(record, find<proto::NodeRecord>(context.txn, table::self, view("self")));
  Json json;
  json["agency"] = party;
  if (state) {
    json["branch"] = proto::to_text(state->agency.branch);
    json["level"] = proto::to_text(state->agency.level);
  }
  json["realm"] = {{"id", context.directory.realm().hex()}, {"name", context.directory.root_change().realm_name}};
  json["practice"] = context.directory.practice();
  if (record) json["incarnation"] = {{"sender", record->inc}, {"recipient", record->rinc}};
  json["version"] = context.health.version;
  json["principal"] = {{"name", request.principal.name}, {"role", request.principal.role}};
  return json_response(200, json);
}

}  // namespace tram::node::api
