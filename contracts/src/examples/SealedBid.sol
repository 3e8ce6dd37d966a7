// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {PolicyWords} from "../libraries/PolicyWords.sol";
import {Scores} from "../libraries/Scores.sol";

/// @title SealedBid: policy `quorum k and an enclave`. The price that a model names, computed in attested hardware too
/// @notice For opaque models, of which nothing can be proven: the quorum stakes money on the answer, and the signature
///         from an enclave says that an image which operators have looked at computed it. An enclave alone is never
///         enough, and one that was broken into still needs k operators who lie.
contract SealedBid is InferenceConsumer {
    uint32 public constant CALLBACK_GAS = 80_000;
    /// @notice Wei for each point that the model names; below 0 there is no bid.
    uint256 public immutable WEI_PER_POINT;

    mapping(bytes32 requestId => bytes32 lot) public lotOf;
    mapping(bytes32 lot => uint256 wei_) public bidWeiFor;

    event BidMade(bytes32 indexed lot, uint256 bidWei);

    constructor(ICoprocessor coprocessor, bytes32 modelId, uint8 k, uint256 weiPerPoint)
        InferenceConsumer(coprocessor, modelId, PolicyWords.quorumAndEnclave(k))
    {
        WEI_PER_POINT = weiPerPoint;
    }

    /// @notice Has a lot priced by what is known of it; its name is the digest of that.
    function price(bytes calldata lot, uint32 patienceSeconds) external payable returns (bytes32 requestId) {
        requestId = _ask(lot, msg.value, CALLBACK_GAS, patienceSeconds, msg.sender);
        lotOf[requestId] = keccak256(lot);
    }

    function _onAnswer(bytes32 requestId, bytes calldata output) internal override {
        Scores.requireCount(output, 1);
        int16 points = Scores.score(output, 0);
        uint256 bidWei = points > 0 ? uint256(uint16(points)) * WEI_PER_POINT : 0;
        bidWeiFor[lotOf[requestId]] = bidWei;
        emit BidMade(lotOf[requestId], bidWei);
    }
}
