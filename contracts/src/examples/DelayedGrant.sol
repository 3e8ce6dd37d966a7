// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {PolicyWords} from "../libraries/PolicyWords.sol";
import {Scores} from "../libraries/Scores.sol";

/// @title DelayedGrant: policy `proof with a window`. What a model grants is proven, and people can still say no
/// @notice A proof needs no challenge. The window is for what no proof can say: whether the model should have been
///         asked at all. Until it is over the steward, who sees the answer in the event InferenceDelivered, can veto.
contract DelayedGrant is InferenceConsumer {
    uint32 public constant CALLBACK_GAS = 80_000;
    uint256 public constant GRANTED = 1;
    uint256 public constant CLASSES = 2;
    address public immutable STEWARD;

    mapping(bytes32 requestId => address applicant) public applicantOf;
    mapping(bytes32 requestId => bool) public isVetoed;
    mapping(address applicant => bool) public isGranted;

    event Decided(address indexed applicant, bool isGranted);

    error NotSteward(address caller);

    constructor(ICoprocessor coprocessor, bytes32 modelId, uint32 windowSeconds, address steward)
        InferenceConsumer(coprocessor, modelId, PolicyWords.proofWithWindow(windowSeconds))
    {
        STEWARD = steward;
    }

    function apply_(bytes calldata file, uint32 patienceSeconds) external payable returns (bytes32 requestId) {
        requestId = _ask(file, msg.value, CALLBACK_GAS, patienceSeconds, msg.sender);
        applicantOf[requestId] = msg.sender;
    }

    /// @notice Whatever the model says of it, this application is refused.
    function veto(bytes32 requestId) external {
        if (msg.sender != STEWARD) revert NotSteward(msg.sender);
        if (!isOpen(requestId)) revert NotAsked(requestId);
        isVetoed[requestId] = true;
    }

    function _onAnswer(bytes32 requestId, bytes calldata output) internal override {
        bool isGood = Scores.indexOfLargest(output, CLASSES) == GRANTED && !isVetoed[requestId];
        address applicant = applicantOf[requestId];
        if (isGood) isGranted[applicant] = true;
        emit Decided(applicant, isGood);
    }
}
