#include "cli/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace polysome::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SettingsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("settings-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    sources_.environment = [this](const std::string& name) { return variables_[name]; };
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path file(const char* name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  Result<Settings> load() {
    for (const auto& [name, value] : variables_) sources_.environment_names.push_back(name);
    return Settings::load(sources_);
  }

  std::filesystem::path folder_;
  std::map<std::string, std::string> variables_;
  SettingSources sources_;
};

TEST_F(SettingsTest, FlagOverEnvironmentOverUserOverSystemOverDefault) {
  sources_.files = {
      file("system.toml", "port = 1\nhost = 'system'\nn_workers = 11\nmemory_limit = '1GB'\n"),
      file("user.toml", "port = 2\nhost = 'user'\nn_workers = 12\n")};
  variables_ = {{"POLYSOME_PORT", "3"}, {"POLYSOME_N_WORKERS", "13"}};
  sources_.flags = {{"port", {"4"}}};
  const auto s = load();
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(s->integer("port", 0, 65'535), 4);
  EXPECT_EQ(s->integer("n_workers", 1, 32), 13);
  EXPECT_EQ(s->text("host"), "user");
  EXPECT_EQ(s->size("memory_limit"), 1'000'000'000U);
  EXPECT_EQ(s->integer("threads_per_worker", 1, 64), 2);
  EXPECT_EQ(s->origin("port"), "flag --port");
  EXPECT_EQ(s->origin("n_workers"), "POLYSOME_N_WORKERS");
  EXPECT_EQ(s->origin("host"), (folder_ / "user.toml").string());
  EXPECT_EQ(s->origin("memory_limit"), (folder_ / "system.toml").string());
  EXPECT_EQ(s->origin("threads_per_worker"), "default");
  EXPECT_TRUE(s->from_flag("port"));
  EXPECT_FALSE(s->from_flag("n_workers"));
}

TEST_F(SettingsTest, DasksOwnVariablesStandBehindOurs) {
  variables_ = {
      {"DASK_N_WORKERS", "7"}, {"DASK_MEMORY_LIMIT", "3GiB"}, {"POLYSOME_MEMORY_LIMIT", "1GB"}};
  const auto s = load();
  ASSERT_TRUE(s);
  EXPECT_EQ(s->integer("n_workers", 1, 32), 7);
  EXPECT_EQ(s->origin("n_workers"), "DASK_N_WORKERS");
  EXPECT_EQ(s->size("memory_limit"), 1'000'000'000U);
}

TEST_F(SettingsTest, ListsComeFromArraysColonsAndRepeatedFlags) {
  sources_.files = {file("a.toml", "data_dir = ['/a', '/b']\noutput_dir = '/o'\n")};
  EXPECT_THAT(load()->list("data_dir"), ElementsAre("/a", "/b"));
  EXPECT_THAT(load()->list("output_dir"), ElementsAre("/o"));
  variables_ = {{"POLYSOME_DATA_DIR", "/c:/d"}};
  EXPECT_THAT(load()->list("data_dir"), ElementsAre("/c", "/d"));
  sources_.flags = {{"data_dir", {"/e", "/f"}}};
  EXPECT_THAT(load()->list("data_dir"), ElementsAre("/e", "/f"));
}

TEST_F(SettingsTest, UnknownKeysAreErrorsWithPlaceAndNearest) {
  sources_.files = {file("a.toml", "port = 1\nn_worker = 4\n")};
  const auto s = load();
  ASSERT_FALSE(s);
  EXPECT_THAT(s.error().message,
              HasSubstr("a.toml:2: unknown key \"n_worker\"; did you mean \"n_workers\"?"));
}

TEST_F(SettingsTest, BrokenFilesAreErrorsWithTheirLine) {
  sources_.files = {file("a.toml", "port = 1\nhost = \n")};
  EXPECT_THAT(load().error().message, HasSubstr("a.toml:2"));
  sources_.files = {file("b.toml", "port = [1]\n")};
  EXPECT_THAT(load().error().message, HasSubstr("b.toml:1"));
}

TEST_F(SettingsTest, FilesThatMustBeThereAreMissed) {
  sources_.files = {folder_ / "none.toml"};
  EXPECT_TRUE(load());
  sources_.required = true;
  EXPECT_THAT(load().error().message, HasSubstr("none.toml"));
}

TEST_F(SettingsTest, MistypedVariablesAreNotSilent) {
  variables_ = {{"POLYSOME_N_WORKER", "8"}};
  EXPECT_THAT(load().error().message, HasSubstr("did you mean POLYSOME_N_WORKERS?"));
  variables_ = {{"POLYSOME_TEST_PATIENCE", "8"}, {"POLYSOME_JOBS", "2"}, {"POLYSOME_BUILD", "x"}};
  sources_.environment_names.clear();
  EXPECT_TRUE(load());
}

TEST_F(SettingsTest, WrongValuesNameTheirOrigin) {
  variables_ = {{"DASK_N_WORKERS", "many"},
                {"POLYSOME_RETRY_DELAY", "soon"},
                {"POLYSOME_AUTOSTART", "perhaps"}};
  const auto s = load();
  ASSERT_TRUE(s);
  EXPECT_EQ(s->integer("n_workers", 1, 32).error().message,
            "n_workers \"many\" (DASK_N_WORKERS) is not a whole number from 1 to 32");
  EXPECT_FALSE(s->duration_ms("retry_delay"));
  EXPECT_FALSE(s->boolean("autostart"));
}

TEST_F(SettingsTest, FilesAreLookedForWhereTheUserKeepsThem) {
  variables_ = {{"HOME", "/home/ada"}};
  choose_files("", &sources_);
  EXPECT_THAT(sources_.files,
              ElementsAre("/etc/polysome/config.toml", "/home/ada/.config/polysome/config.toml"));
  variables_["XDG_CONFIG_HOME"] = "/cfg";
  choose_files("", &sources_);
  EXPECT_THAT(sources_.files,
              ElementsAre("/etc/polysome/config.toml", "/cfg/polysome/config.toml"));
  EXPECT_FALSE(sources_.required);
  choose_files("my.toml", &sources_);
  EXPECT_THAT(sources_.files, ElementsAre("my.toml"));
  EXPECT_TRUE(sources_.required);
}

}  // namespace
}  // namespace polysome::cli
