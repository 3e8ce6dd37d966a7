// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {PolicyWords} from "../libraries/PolicyWords.sol";
import {Scores} from "../libraries/Scores.sol";

/// @title ListingReview: policy `quorum k`. A marketplace shows what a model finds harmless
/// @notice Fast and cheap, and good for what a mistake does not make expensive: k operators who sign the same lie get a
///         bad listing shown, and nobody can take that back.
contract ListingReview is InferenceConsumer {
    uint32 public constant CALLBACK_GAS = 80_000;
    uint256 public constant HARMLESS = 0;
    uint256 public constant CLASSES = 2;

    mapping(bytes32 requestId => bytes32 listing) public listingOf;
    mapping(bytes32 listing => bool) public isShown;

    event ListingJudged(bytes32 indexed listing, bool isShown);

    constructor(ICoprocessor coprocessor, bytes32 modelId, uint8 k)
        InferenceConsumer(coprocessor, modelId, PolicyWords.quorum(k))
    {}

    /// @notice Has a listing judged by what it is; its name is the digest of that.
    function submit(bytes calldata content, uint32 patienceSeconds) external payable returns (bytes32 requestId) {
        requestId = _ask(content, msg.value, CALLBACK_GAS, patienceSeconds, msg.sender);
        listingOf[requestId] = keccak256(content);
    }

    function _onAnswer(bytes32 requestId, bytes calldata output) internal override {
        bytes32 listing = listingOf[requestId];
        bool isHarmless = Scores.indexOfLargest(output, CLASSES) == HARMLESS;
        isShown[listing] = isHarmless;
        emit ListingJudged(listing, isHarmless);
    }
}
