// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What a contract implements to receive answers
interface IInferenceConsumer {
    /// @notice Called once, when the answer to a request of this contract is final.
    /// @dev WARNING: check `msg.sender == address(coprocessor)` and that `requestId` is one of yours, or anyone can
    ///      answer. It is given exactly the request's `callbackGas`. When it reverts, the fee is paid all the same and
    ///      anyone may call `Coprocessor.retryCallback` with more gas; after it has returned once it is never called
    ///      again for this request. `Coprocessor.request` may be called from inside.
    function onInference(bytes32 requestId, bytes calldata output) external;
}
