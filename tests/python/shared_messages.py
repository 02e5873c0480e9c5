"""Hostile files of tests/attacks that the program refuses in the same words, by format: what test_attacks.py takes as the
whole list, so that two faults which begin to share a message are noticed."""

# The very same text, and why.
SAME = {
    "safetensors": {
        "nested_arrays nested_objects": "A limit of depth, whatever is nested.",
        "name_twice name_twice_by_escape": "The name that JSON's escapes spell is the same name.",
        "shape_above_uint64 shape_is_fraction": "To JSON, both are numbers that no integer of 64 bits is.",
    },
    "easylm": {
        "key_no_utf8 key_surrogate": "A surrogate is no UTF-8 either.",
    },
    "flax": {
        "deep_lists_with_array leaf_deep_lists": "A limit of depth, whatever is nested.",
        "leaf_chunked_with_more_keys mark_among_others": "A key too much, whatever it is.",
    },
    "npz": {
        "empty_dict no_descr": "The first key that is missing, of one or of all.",
        "endless_digits shape_beyond_uint64": "Too many digits, by one or by thousands.",
        "zip_byte_too_many zip_comment_is_cut zip_comment_is_longer zip_cut_by_a_byte zip_text": "Without an end record nobody can say what the end was to be.",
        "zip_bytes_behind_the_directory zip_bytes_in_front": "The directory and its end record are apart; which of them moved is not said anywhere.",
        "zip_encrypted zip_masked zip_strongly_encrypted": "Three ways to encrypt, and one thing to do.",
    },
    "torch": {
        "empty_pickle pickle_empty": "The same file, by two who try it.",
        "pickle_int_of_letters pickle_int_of_nothing": "No digits.",
        "pickle_string_with_half_escape pickle_string_with_one_quote pickle_string_without_quotes": "Three ways to spell no str.",
        "pickle_unicode_beyond_unicode pickle_unicode_with_half_escape": "Two ways to spell no character.",
        "pickle_str_half_surrogate pickle_str_no_utf8 pickle_str_overlong": "Three ways to be no UTF-8.",
    },
    "litgpt": {
        "model_of_another_name no_model": "The file is not there, whatever else is; the message speaks of other files.",
    },
    "lightning": {
        "meta_has_the_model_as_a_module meta_has_the_model_too": "The key stands twice, whatever it holds.",
    },
    "llama": {
        "heads_undecidable params_without_heads": "What params.json does not say is missing with and without it.",
        "params_nested params_that_are_a_list": "The outermost of the arrays is refused.",
    },
    "dcp": {
        "metadata_of_a_list metadata_very_deep": "The outermost of the lists is refused.",
    },
    "colossalai": {
        "file_one_state_twice id_twice_in_a_shard": "The ids 0 and 00 are one, in a file as in a shard.",
    },
    "cairndiff": {
        "empty lines_changed_on_the_way": "Neither begins as a diff does.",
        "number_beyond_64_bits number_that_never_ends": "Refused at the bit that is too much, however many follow.",
        "another_target delta_that_changes_nothing": "Only the digest tells.",
        "delta_more_behind delta_same_and_more": "What is behind the end does not depend on what is in front of it.",
        "delta_no_zstd delta_zstd_of_a_tebibyte delta_zstd_of_no_size": "The size that the frame's head has to say is not there, or another.",
    },
}

# The same but for numbers, which are what is wrong: the size, offset, count or version that was found, and what was
# expected.
SAME_BUT_FOR_NUMBERS = {
    "safetensors": [
        "empty_file short_prefix",
        "length_leaves_file length_one_too_many",
        "length_all_ones length_over_cap length_wraps_with_prefix",
        "no_text only_spaces unclosed_object",
        "hole_in_front offsets_at_the_end_of_uint64",
        "overlap same_bytes_twice",
        "data_cut_short data_of_terabytes",
        "bytes_after_an_empty_header bytes_after_the_data",
    ],
    "easylm": [
        "key_claims_4g_segments torn_header",
        "bin_claims_4g torn_payload",
        "empty_bin int_is_cut",
        "array_inside_list tree_inside_value",
        "ext_claims_4g ext_leaves_bin",
        "chunked_rank_40 rank_33",
        "payload_long payload_short",
        "chunk_01 chunk_beyond",
        "chunks_claim_4g map_claims_4g",
    ],
    "flax": [
        "easylm_objects root_is_list",
        "byte_after_tree two_trees",
        "dict_claims_4g leaf_chunks_claim_4g leaf_map_claims_4g",
        "same_dict_twice same_key_twice",
        "array_before_odd_key array_below_odd_key",
        "leaf_ext_claims_4g leaf_ext_leaves_bin",
        "leaf_chunked_rank_40 leaf_rank_33",
        "leaf_payload_long leaf_payload_short",
        "leaf_chunk_01 leaf_chunk_beyond",
    ],
    "npz": [
        "minor_version version_0 version_4",
        "no_text only_spaces",
        "deep_list unclosed_list",
        "data_left data_missing",
        "zip_empty_file zip_one_byte",
        "zip_bytes_behind_the_directory zip_bytes_in_front zip_directory_before_entries",
        "zip_last_disk_of_two zip_second_disk",
        "zip_directory_covers_end zip_directory_leaves_file zip_offset_wraps zip_size_wraps",
        "zip_absurd_count zip_all_entries_of_16_bits zip_count_wraps zip_one_entry_too_many",
        "zip_locator_into_itself zip_locator_into_nothing",
        "zip_locator_elsewhere zip_zip64_signature",
        "zip_bytes_in_the_directory zip_record_signature",
        "zip_extra_is_cut zip_extra_leaves",
        "zip_deflated_size_wraps zip_entry_by_a_byte zip_entry_leaves_archive zip_size_wraps_entry",
        "zip_offset_behind_directory zip_offset_wraps_entry",
        "zip_entries_overlap zip_entries_share_bytes zip_quoted_headers",
    ],
    "torch": [
        "huge_offset offset_beyond_the_storage stride_overflow view_beyond_the_storage",
        "too_few_arguments v3_without_a_dtype",
        "empty_pickle pickle_empty pickle_no_stop",
        "legacy_storage_cut_off legacy_storage_of_many",
        "pickle_ext1 pickle_ext2 pickle_ext4",
    ],
    "lightning": [
        "shard_missing shard_of_another_rank",
    ],
    "llama": [
        "a_name_too_much_in_the_first a_name_too_much_in_the_second",
        "norm_of_another_model params_of_a_model_in_four_parts",
        "params_of_too_many_heads params_of_zero_heads",
        "a_part_missing the_first_part_missing",
    ],
    "dcp": [
        "overlapping_chunks shards_overlap the_same_chunk_twice",
        "a_hole no_chunks shards_leave_a_hole",
        "chunk_beyond_the_tensor chunk_far_beyond_the_tensor chunk_of_overflowing_size",
        "huge_tensor_in_a_small_item item_of_another_shape",
        "no_place_of_a_chunk no_storage_data",
        "item_past_the_end item_that_overflows",
        "file_of_a_long_name path_of_nothing",
    ],
    "cairndiff": [
        "another_end cut_in_the_deltas cut_in_the_footer header_alone magic_alone more_behind_the_footer",
        "pieces_of_4_gib pieces_of_nothing version_0 version_2",
        "index_before_its_place index_behind_the_file index_in_the_header index_of_2_to_64 index_that_wraps_around",
        "half_a_digest no_index",
        "ends_within_the_label label_of_2_to_63 metadata_without_value value_of_17_mib_that_is_not_there",
        "entries_that_are_not_there removed_that_are_not_there",
        "entry_of_kind_9 entry_of_no_kind",
        "dtype_0 dtype_200",
        "asset_of_2_to_64 tensor_of_8_exbibytes",
        "base_of_another_size base_shape_that_overflows",
        "delta_longer_than_its_piece delta_of_2_to_63",
        "delta_unit_255 delta_unit_3 delta_without_unit",
        "delta_length_beyond_its_end delta_length_of_2_to_63",
        "delta_no_changes delta_too_many_changes",
        "delta_too_few_positions delta_too_many_positions",
        "delta_position_outside delta_position_that_wraps",
    ],
}
