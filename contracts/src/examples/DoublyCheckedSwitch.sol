// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {PolicyWords} from "../libraries/PolicyWords.sol";
import {Scores} from "../libraries/Scores.sol";

/// @title DoublyCheckedSwitch: policy `proof and quorum k`. A breaker that a model opens, and nothing else
/// @notice For what must not depend on one idea of security: a proof system that turns out broken still needs k
///         operators who lie, and operators who lie still need a broken proof system.
contract DoublyCheckedSwitch is InferenceConsumer {
    uint32 public constant CALLBACK_GAS = 60_000;
    uint256 public constant OPEN = 1;
    uint256 public constant CLASSES = 2;

    bool public isSwitchOpen;

    event Switched(bytes32 indexed requestId, bool isOpen);

    constructor(ICoprocessor coprocessor, bytes32 modelId, uint8 k)
        InferenceConsumer(coprocessor, modelId, PolicyWords.proofAndQuorum(k))
    {}

    /// @notice Has the model look at `measurements`. Answers may arrive in another order than questions: who needs the
    ///         newest one keeps a counter beside the request id.
    function look(bytes calldata measurements, uint32 patienceSeconds) external payable returns (bytes32 requestId) {
        return _ask(measurements, msg.value, CALLBACK_GAS, patienceSeconds, msg.sender);
    }

    function _onAnswer(bytes32 requestId, bytes calldata output) internal override {
        isSwitchOpen = Scores.indexOfLargest(output, CLASSES) == OPEN;
        emit Switched(requestId, isSwitchOpen);
    }
}
