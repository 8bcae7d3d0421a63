#include "store/job_list.h"

#include <string_view>

namespace polysome {
namespace {

struct Conditions {
  std::vector<std::string> sql;
  std::vector<Query::Value> values;

  void add(std::string condition, Query::Value value) {
    sql.push_back(std::move(condition));
    values.push_back(std::move(value));
  }
  std::string where() const {
    std::string text;
    for (const auto& condition : sql) text += (text.empty() ? " WHERE " : " AND ") + condition;
    return text;
  }
};

// A unary plus keeps SQLite from driving the query by that column's index.
std::string equals(std::string_view column, bool may_drive) {
  return std::string(may_drive ? "" : "+") + "j." + std::string(column) + " = ?";
}

// Conditions on the job's own row. An index serves one equality only; several are answered by the
// rarest of them, or by walking the rows, which are small and in the order of the answer.
void add_columns(const JobFilter& f, bool labelled, Conditions* c) {
  const bool by_batch = !labelled && f.batch.has_value();
  const bool by_name = !labelled && !by_batch && !f.name.empty();
  const bool by_user = !labelled && !by_batch && !by_name && !f.user.empty();
  const int others = (f.status ? 1 : 0) + (f.priority ? 1 : 0) + (f.operation.empty() ? 0 : 1) +
                     (f.since ? 1 : 0) + (f.until ? 1 : 0);
  const bool by_other = !labelled && !by_batch && !by_name && !by_user && others == 1;
  if (f.batch) c->add(equals("batch", by_batch), *f.batch);
  if (!f.name.empty()) c->add(equals("name", by_name), f.name);
  if (!f.user.empty()) c->add(equals("user", by_user), f.user);
  if (!f.operation.empty()) c->add(equals("operation", by_other), f.operation);
  if (f.status) c->add(equals("status", by_other), std::string(name(*f.status)));
  if (f.priority) c->add("j.priority = ?", std::int64_t{static_cast<int>(*f.priority)});
  if (f.since) c->add("j.created_at >= ?", *f.since);
  if (f.until) c->add("j.created_at < ?", *f.until);
}

}  // namespace

JobListSql job_list_sql(const JobFilter& f) {
  const bool by_tag = !f.tag.empty();
  const bool labelled = by_tag || !f.dataset_id.empty();
  Conditions c;
  if (labelled) {
    c.add("l.kind = ?", std::string(by_tag ? "tag" : "dataset"));
    c.add("l.value = ?", by_tag ? f.tag : f.dataset_id);
  }
  if (by_tag && !f.dataset_id.empty())
    c.add(
        "EXISTS (SELECT 1 FROM job_labels AS d WHERE d.kind = 'dataset' AND d.value = ? AND "
        "d.job = l.job)",
        f.dataset_id);
  const bool only_labels = labelled && f.name.empty() && f.user.empty() && f.operation.empty() &&
                           !f.status && !f.priority && !f.since && !f.until && !f.batch;
  add_columns(f, labelled, &c);

  const std::string rows = "processing_jobs AS j";
  const std::string joined =
      labelled ? "job_labels AS l CROSS JOIN " + rows + " ON j.id = l.job" : rows;
  const std::string id = labelled ? "l.job" : "j.id";
  JobListSql sql;
  sql.filter = c.values;
  sql.total = "SELECT count(*) FROM " + (only_labels ? "job_labels AS l" : joined) + c.where();
  if (f.before) {
    c.add(id + " < ?", *f.before);
    sql.before = *f.before;
  }
  sql.page = std::string("SELECT j.sequence, d.spec, d.state, ") + (f.full ? "d.result" : "NULL") +
             " FROM " + joined + " CROSS JOIN job_documents AS d ON d.job = j.id" + c.where() +
             " ORDER BY " + id + " DESC LIMIT ?";
  return sql;
}

}  // namespace polysome
