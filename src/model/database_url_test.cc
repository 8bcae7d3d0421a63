#include "model/database_url.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "model/connections.h"

namespace polysome {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(DatabaseUrl, FilesAreRelativeOrAbsolute) {
  const auto relative = parse_database_url("sqlite:///shop.db?table=the%20samples");
  ASSERT_TRUE(relative);
  EXPECT_EQ(relative->path, "shop.db");
  EXPECT_EQ(relative->table, "the samples");
  EXPECT_EQ(relative->label(), "the samples (shop.db)");
  EXPECT_EQ(parse_database_url("sqlite:////srv/a b?c.db?table=t").value_or(DatabaseUrl()).path, "");
  const auto absolute = parse_database_url("sqlite:////srv/a%20b%3Fc.db?table=t");
  ASSERT_TRUE(absolute) << absolute.error().message;
  EXPECT_EQ(absolute->path, "/srv/a b?c.db");
  EXPECT_EQ(parse_database_url("sqlite://x.db?table=t")->path, "x.db");
}

TEST(DatabaseUrl, AddressesComeBackAsTheyWere) {
  for (const char* url :
       {"sqlite:///shop.db?table=t", "sqlite:////srv/a%20b.db?table=x%22y",
        "postgresql://lab?table=public.samples", "postgresql://me@db.example:5433/omics?table=t",
        "postgresql://[::1]:5432/omics?table=t"}) {
    const auto parsed = parse_database_url(url);
    ASSERT_TRUE(parsed) << url;
    EXPECT_EQ(parsed->text(), url);
  }
  EXPECT_EQ(parse_database_url("postgres://h/d?table=t")->text(), "postgresql://h/d?table=t");
}

TEST(DatabaseUrl, PasswordsAreRefusedAndNotRepeated) {
  const auto url = parse_database_url("postgresql://me:secret@host/db?table=t");
  ASSERT_FALSE(url);
  EXPECT_THAT(url.error().hint, HasSubstr("--connections"));
  EXPECT_THAT(url.error().message + url.error().hint, Not(HasSubstr("secret")));
}

TEST(DatabaseUrl, WhatIsNotOneSaysWhatOneIs) {
  for (const char* url : {"mysql://host/db?table=t", "sqlite:///x.db", "postgresql://?table=t",
                          "postgresql://h:port/db?table=t", "sqlite:///x.db?tabel=t",
                          "postgresql://h/a/b?table=t", "sqlite://?table=t"}) {
    const auto parsed = parse_database_url(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_THAT(parsed.error().hint, HasSubstr("?table=t")) << url;
  }
}

class ConnectionsTest : public testing::Test {
 protected:
  std::string write(const std::string& text, mode_t mode) {
    const auto path =
        std::filesystem::path(testing::TempDir()) / ("connections." + std::to_string(::getpid()));
    std::ofstream(path) << text;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    path_ = path.string();
    return path_;
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_;
};

TEST_F(ConnectionsTest, AreNamedAndKeptSecret) {
  const auto known = Connections::read(
      write("# ours\n\nlab = postgresql://me:sec%40ret@host:1/db\nopen=postgres://h/db\n", 0600));
  ASSERT_TRUE(known) << known.error().message;
  EXPECT_EQ(*known->conninfo(*parse_database_url("postgresql://lab?table=t")),
            "postgresql://me:sec%40ret@host:1/db");
  EXPECT_EQ(*known->conninfo(*parse_database_url("postgresql://o'x@h:5/d?table=t")),
            "host='h' port=5 user='o\\'x' dbname='d'");
  const auto nobody = known->conninfo(*parse_database_url("postgresql://h/d?table=t"));
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("names no user"));
  const auto unknown = known->conninfo(*parse_database_url("postgresql://lap?table=t"));
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("\"lab\""));
  EXPECT_EQ(known->without_secrets("password sec%40ret failed"), "password *** failed");
  EXPECT_EQ(known->without_secrets("or sec@ret, as it reads"), "or ***, as it reads");
}

TEST_F(ConnectionsTest, FilesThatOthersMayReadAreRefused) {
  const auto known = Connections::read(write("lab = postgresql://me:secret@h/d\n", 0640));
  ASSERT_FALSE(known);
  EXPECT_EQ(known.error().code, Code::kForbidden);
  EXPECT_THAT(known.error().hint, HasSubstr("chmod 600"));
}

TEST_F(ConnectionsTest, WrongLinesAreNumberedNotShown) {
  const auto known = Connections::read(write("# x\nlab: postgresql://me:secret@h/d\n", 0600));
  ASSERT_FALSE(known);
  EXPECT_THAT(known.error().message, HasSubstr("line 2"));
  EXPECT_THAT(known.error().message, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace polysome
