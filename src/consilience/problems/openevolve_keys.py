"""The keys of OpenEvolve's `config.yaml` (version 0.4), by group; "" is the top level.

Rules:
    1. A key is in exactly one of the two tables, or it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


USED: Mapping[str, frozenset[str]] = {
    "": frozenset({"max_iterations", "random_seed"}),
    "evaluator": frozenset({"timeout", "cascade_evaluation", "cascade_thresholds"}),
    "database": frozenset({"feature_dimensions"}),
    "prompt": frozenset({"system_message"}),
    "llm": frozenset(),
    "evolution_trace": frozenset(),
}

UNUSED: Mapping[str, frozenset[str]] = {
    "": _keys(
        """checkpoint_interval log_level log_dir language file_suffix diff_based_evolution allow_full_rewrites
        max_code_length enforce_evolve_blocks diff_pattern early_stopping_patience convergence_threshold
        early_stopping_metric max_tasks_per_child"""
    ),
    "evaluator": _keys(
        """max_retries memory_limit_mb cpu_limit parallel_evaluations distributed use_llm_feedback
        llm_feedback_weight enable_artifacts max_artifact_storage evaluator_args"""
    ),
    "database": _keys(
        """db_path in_memory log_prompts population_size archive_size num_islands elite_selection_ratio
        exploration_ratio exploitation_ratio diversity_metric feature_bins diversity_reference_size
        migration_interval migration_rate random_seed artifacts_base_path artifact_size_threshold
        cleanup_old_artifacts artifact_retention_days max_snapshot_artifacts novelty_llm embedding_model
        embedding_api_base similarity_threshold"""
    ),
    "prompt": _keys(
        """template_dir island_system_messages evaluator_system_message programs_as_changes_description
        system_message_changes_description initial_changes_description num_top_programs num_diverse_programs
        use_template_stochasticity template_variations use_meta_prompting meta_prompt_weight include_artifacts
        max_artifact_bytes artifact_security_filter suggest_simplification_after_chars
        include_changes_under_chars concise_implementation_max_lines comprehensive_implementation_min_lines
        diff_summary_max_line_len diff_summary_max_lines code_length_threshold"""
    ),
    "llm": _keys(
        """api_base api_key name provider init_client weight system_message temperature top_p max_tokens timeout
        retries retry_delay random_seed reasoning_effort max_budget_usd max_ai_credits allow_all_tools manual_mode
        models evaluator_models primary_model primary_model_weight secondary_model secondary_model_weight"""
    ),
    "evolution_trace": _keys("""enabled format include_code include_prompts output_path buffer_size compress"""),
}
