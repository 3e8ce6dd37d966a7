// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {Policy} from "../libraries/Policy.sol";

/// @title InferenceConsumer: what a contract that asks inherits
/// @notice One model, one policy, fixed at deployment. Answers reach `_onAnswer` only from the Coprocessor, only for a
///         question of this contract, and once.
abstract contract InferenceConsumer is IInferenceConsumer {
    ICoprocessor public immutable COPROCESSOR;
    bytes32 public immutable MODEL_ID;
    bytes32 public immutable POLICY;

    mapping(bytes32 requestId => bool) private _isOpen;

    error NotCoprocessor(address caller);
    error NotAsked(bytes32 requestId);

    /// @param policy The evidence every answer must carry (libraries/PolicyWords.sol).
    constructor(ICoprocessor coprocessor, bytes32 modelId, bytes32 policy) {
        Policy.requireWellFormed(policy);
        COPROCESSOR = coprocessor;
        MODEL_ID = modelId;
        POLICY = policy;
    }

    /// @inheritdoc IInferenceConsumer
    function onInference(bytes32 requestId, bytes calldata output) external {
        if (msg.sender != address(COPROCESSOR)) revert NotCoprocessor(msg.sender);
        if (!_isOpen[requestId]) revert NotAsked(requestId);
        delete _isOpen[requestId];
        _onAnswer(requestId, output);
    }

    /// @notice Whether an answer to this question is still awaited.
    function isOpen(bytes32 requestId) public view returns (bool) {
        return _isOpen[requestId];
    }

    /// @dev Asks, and pays `feeWei`. When nobody answers within `patienceSeconds`, `refundTo` is credited with the fee.
    function _ask(bytes memory input, uint256 feeWei, uint32 callbackGas, uint32 patienceSeconds, address refundTo)
        internal
        returns (bytes32 requestId)
    {
        uint64 deadline = uint64(block.timestamp) + patienceSeconds;
        requestId = COPROCESSOR.request{value: feeWei}(MODEL_ID, input, POLICY, callbackGas, deadline, refundTo);
        _isOpen[requestId] = true;
    }

    /// @dev As `_ask`, with the fee out of this contract's balance in the Coprocessor: the way where fees are paid in a
    ///      token, which was approved and put there by `depositToken` (or `depositTokenFor`) before.
    function _askFromBalance(
        bytes memory input,
        uint256 feeWei,
        uint32 callbackGas,
        uint32 patienceSeconds,
        address refundTo
    ) internal returns (bytes32 requestId) {
        uint64 deadline = uint64(block.timestamp) + patienceSeconds;
        requestId = COPROCESSOR.requestFromBalance(MODEL_ID, input, POLICY, feeWei, callbackGas, deadline, refundTo);
        _isOpen[requestId] = true;
    }

    /// @dev The answer, final under the policy. When this reverts the answer stays, and anyone can have it called
    ///      again with more gas.
    function _onAnswer(bytes32 requestId, bytes calldata output) internal virtual;
}
