#include "kernels/decoder/decoder.hpp"
#include "kernels/manifest.hpp"
#include "kernels/registry.hpp"
#include "policies/policies.hpp"
#include "runtime/inference/model.hpp"
#include "tools/common/dim3.hpp"
#include "tools/common/io.hpp"
#include "tools/ptxgen/commands.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ptxgen::tools {
namespace {

struct EmitOptions {
    std::string kernel, target, version, output = "-", manifest, model;
    std::string policy, scheduler, cluster;
    bool counters = false;
};

/// What --policy and its options ask for.
struct Scheduling {
    policies::Policy policy;
    policies::ScheduleOptions options;
};

/// Nothing without --policy; the options that need it are then an error.
Result<std::optional<Scheduling>> read_scheduling(const EmitOptions& options) {
    if (options.policy.empty()) {
        for (const auto& [option, given] :
             {std::pair{"--scheduler", !options.scheduler.empty()}, std::pair{"--cluster", !options.cluster.empty()},
              std::pair{"--counters", options.counters}})
            if (given) return Error{fmt::format("{} needs --policy, for example --policy greedy", option)};
        return std::optional<Scheduling>{};
    }
    auto policy = policies::parse_policy(options.policy);
    if (!policy) return policy.error();
    Scheduling scheduling{std::move(*policy), {}};
    if (!options.scheduler.empty()) {
        const auto scheduler = policies::parse_scheduler(options.scheduler);
        if (!scheduler) return scheduler.error();
        scheduling.options.scheduler = *scheduler;
    }
    if (!options.cluster.empty()) {
        const auto cluster = parse_dim3("--cluster", options.cluster);
        if (!cluster) return cluster.error();
        scheduling.options.cluster = {cluster->x, cluster->y, cluster->z};
    }
    scheduling.options.counters = options.counters;
    return std::optional<Scheduling>(std::move(scheduling));
}

nlohmann::json manifest_json(const kernels::Generated& generated, const Minimum& printed) {
    const auto& function = generated.module.functions[0];
    auto parameters = nlohmann::json::array();
    for (const auto& p : function.parameters) {
        nlohmann::json json{{"name", p.name}, {"type", std::string(to_string(p.type))}, {"meaning", p.comment}};
        if (p.count) json["count"] = *p.count;
        if (p.pointer)
            json["pointer"] = {{"space", std::string(to_string(p.pointer_space))}, {"align", p.pointer_alignment}};
        parameters.push_back(std::move(json));
    }
    const auto& launch = generated.launch;
    nlohmann::json json{{"kernel", function.name},
                        {"version", to_string(printed.version)},
                        {"target", to_string(printed.target)},
                        {"grid", {launch.grid_x, launch.grid_y, launch.grid_z}},
                        {"block", {launch.block_x, launch.block_y, launch.block_z}},
                        {"static_shared_bytes", kernels::static_shared_bytes(generated.module)},
                        {"dynamic_shared_bytes", launch.dynamic_shared_bytes},
                        {"cooperative", launch.cooperative},
                        {"parameters", parameters}};
    if (!generated.policy.empty()) {
        json["policy"] = generated.policy;
        json["scheduler"] = generated.scheduler;
        json["cluster"] = {launch.cluster_x, launch.cluster_y, launch.cluster_z};
    }
    return json;
}

/// Where the decoder expects the model's tensors, and how large its buffers are.
nlohmann::json decoder_json(const kernels::DecoderConfig& config) {
    const auto& weights = config.weights;
    const auto tensor = [](TensorType type, std::uint64_t offset, bool packed) {
        return nlohmann::json{
            {"offset", offset}, {"type", std::string(name(type))}, {"format", packed ? "ring" : "gguf"}};
    };
    nlohmann::json tensors;
    tensors["token_embd.weight"] = tensor(config.shape.token_embd_type, weights.token_embd, weights.token_embd_packed);
    tensors["output_norm.weight"] = tensor(TensorType::f32, weights.output_norm, false);
    if (!config.shape.tied_output)
        tensors["output.weight"] =
            tensor(config.shape.output_type, weights.output, kernels::is_packed(weights, config.shape.output_type));
    for (std::uint32_t l = 0; l < config.shape.layers; l++)
        for (std::size_t t = 0; t < kernels::layer_tensor_count; t++) {
            const auto which = static_cast<kernels::LayerTensor>(t);
            if (!kernels::has(config.shape, which)) continue;
            const auto size = kernels::size_of(config.shape, l, which);
            tensors[fmt::format("blk.{}.{}", l, kernels::name(which))] =
                tensor(size.type, weights.at(l, which), kernels::is_packed(weights, size.type));
        }
    const auto buffers = kernels::decoder_buffers(config);
    return {{"weights_bytes", weights.bytes},
            {"tensors", std::move(tensors)},
            {"buffer_bytes", {{"edges", buffers.edges}, {"status", buffers.status}, {"profile", buffers.profile}}},
            {"cache",
             {{"type", config.cache == kernels::CacheType::f16 ? "f16" : "f32"},
              {"context", config.context},
              {"layout", "for each layer keys, then values: [kv_heads][context][head_dim], padded to 256 bytes"}}}};
}

/// "--name value" and "--name=value" pairs that are no option of emit: parameters of the kernel.
Result<std::map<std::string, std::string>> kernel_parameters(const std::vector<std::string>& words) {
    std::map<std::string, std::string> texts;
    for (std::size_t i = 0; i < words.size(); i++) {
        const std::string& word = words[i];
        if (word.rfind("--", 0) != 0 || word.size() == 2)
            return Error{fmt::format("expected '--parameter value', found '{}'", word)};
        const auto equals = word.find('=');
        const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
        std::string value;
        if (equals != std::string::npos)
            value = word.substr(equals + 1);
        else if (i + 1 < words.size())
            value = words[++i];
        else
            return Error{fmt::format("parameter '--{}' has no value", name)};
        if (!texts.emplace(name, value).second) return Error{fmt::format("parameter '--{}' is given twice", name)};
    }
    return texts;
}

int emit(const EmitOptions& options, const std::vector<std::string>& extras) {
    auto spec = kernels::find_kernel(options.kernel);
    if (!spec) return fail(spec.error().message);
    std::optional<Target> target;
    std::optional<PtxVersion> version;
    if (!options.target.empty()) {
        target = parse_target(options.target);
        if (!target || !introduced_in(*target)) {
            std::vector<std::string> names;
            for (const auto& known : known_targets()) names.push_back(to_string(known.target));
            return fail(fmt::format("unknown target '{}'; there are {}", options.target, fmt::join(names, ", ")));
        }
    }
    if (!options.version.empty() && !(version = parse_ptx_version(options.version)))
        return fail(fmt::format("'{}' is no PTX version; expected one like 8.0", options.version));
    auto texts = kernel_parameters(extras);
    if (!texts) return fail(texts.error().message);
    auto values = kernels::read_parameters(**spec, *texts);
    if (!values) return fail(values.error().message);
    auto scheduling = read_scheduling(options);
    if (!scheduling) return fail(scheduling.error().message);
    std::string note;
    if ((*spec)->needs_model && options.model.empty())
        return fail(fmt::format("'{}' is generated for a model: give one with --model FILE", options.kernel));
    if (!(*spec)->needs_model && !options.model.empty())
        return fail(fmt::format("'{}' needs no model, but --model was given", options.kernel));
    std::optional<Model> model;
    if (!options.model.empty()) {
        auto loaded = load_model(options.model);
        if (!loaded) return fail(loaded.error().message);
        model.emplace(std::move(*loaded));
    }
    const auto generate = [&]() -> Result<kernels::Generated> {
        if (model) return (*spec)->generate_for_model(model->shape, *values, target, version);
        if (!*scheduling) return (*spec)->generate(*values, target, version);
        auto tiles = kernels::find_tiles(**spec, *values);
        if (!tiles) return tiles.error();
        return kernels::schedule(*tiles, (*scheduling)->policy, (*scheduling)->options, target, version, &note);
    };
    auto generated = generate();
    if (!note.empty()) fmt::print(stderr, "note: {}\n", note);
    if (!generated) return fail(generated.error().message);
    generated->module.comment = kernels::launch_comment(*generated);
    auto printed = resolve_target(generated->module);
    if (!printed) return fail(printed.error().message);
    auto text = print(generated->module);
    if (!text) return fail(text.error().message);
    if (auto written = write_file(options.output, *text); !written) return fail(written.error().message);
    if (!options.manifest.empty()) {
        auto manifest = manifest_json(*generated, *printed);
        if (model) manifest.update(decoder_json(kernels::decoder_config(model->shape, *values, target)));
        if (auto written = write_file(options.manifest, manifest.dump(2) + "\n"); !written)
            return fail(written.error().message);
    }
    return exit_ok;
}

} // namespace

void add_emit(CLI::App& app, ExitCode exit_with) {
    auto* command = app.add_subcommand("emit", "Write a kernel's PTX");
    auto options = std::make_shared<EmitOptions>();
    command->add_option("kernel", options->kernel, "Name of the kernel, as in 'ptxgen list'")->required();
    command->add_option(
        "--target", options->target,
        "Target to print, such as sm_90a; features up to it are used (default: the lowest that the kernel needs)");
    command->add_option("--ptx-version", options->version, "PTX version to print (default: the lowest that is needed)");
    command->add_option("-o,--output", options->output, "File to write (default: standard output)");
    command->add_option("--model", options->model, "GGUF file, for kernels that are generated for a model");
    command->add_option("--manifest", options->manifest, "Also write what a launch needs, as JSON");
    command->add_option("--policy", options->policy,
                        "Policy under which CTAs go on with further tiles, such as \"max_steals(8) && every_nth(2)\"");
    command->add_option("--scheduler", options->scheduler,
                        "With --policy: clc (sm_100 and later), ticket, static or auto (default)");
    command->add_option("--cluster", options->cluster, "With --policy and clc: CTAs of a cluster, X[,Y,Z]");
    command->add_flag("--counters", options->counters,
                      "With --policy: a further parameter for counts of tiles, asks and requests");
    command->allow_extras();
    command->footer("Every parameter of the kernel is an option too: --rows 4096. 'ptxgen list' shows them.\n\n"
                    "Examples:\n  ptxgen emit rms_norm\n"
                    "  ptxgen emit gemv_q4_k --rows 4096 --cols 4096 --target sm_90 -o gemv.ptx --manifest gemv.json");
    command->callback([=] { exit_with(emit(*options, command->remaining())); });
}

} // namespace ptxgen::tools
