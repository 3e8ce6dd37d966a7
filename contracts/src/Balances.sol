// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Treasury} from "./Treasury.sol";
import {ICoprocessor} from "./interfaces/ICoprocessor.sol";

/// @title Pull payments: one balance per account for deposits, refunds and earned fees
/// @notice What is held of the asset equals the sum of all balances and of all escrowed fees, plus whatever was forced
///         in.
abstract contract Balances is ICoprocessor, Treasury {
    /// @dev One slot an account, packed by hand, so that to count a delivery costs nothing beside paying for it. Bits
    ///      0–127: balance in wei; 128–191: answers it was paid for; 192–255: those of them that came late
    ///      (Coprocessor._isLate). Both counts would take centuries to leave their bits.
    mapping(address account => uint256 word) private _accounts;

    uint256 private constant ONE_DELIVERED = 1 << 128;
    uint256 private constant ONE_LATE = 1 << 192;

    /// @inheritdoc ICoprocessor
    function deposit() external payable {
        _deposit(msg.sender);
    }

    /// @inheritdoc ICoprocessor
    function depositFor(address account) external payable {
        if (account == address(0)) revert ZeroRecipient();
        _deposit(account);
    }

    /// @inheritdoc ICoprocessor
    function depositToken(uint256 amountWei) external nonReentrant {
        _depositToken(msg.sender, amountWei);
    }

    /// @inheritdoc ICoprocessor
    function depositTokenFor(address account, uint256 amountWei) external nonReentrant {
        if (account == address(0)) revert ZeroRecipient();
        _depositToken(account, amountWei);
    }

    /// @inheritdoc ICoprocessor
    /// @dev WARNING: a withdrawn deposit no longer pays for signed requests; whoever works on one carries that risk.
    function withdraw(uint256 amountWei, address payable to) external nonReentrant {
        if (to == address(0)) revert ZeroRecipient();
        uint256 balanceWei = balanceOf(msg.sender);
        if (amountWei > balanceWei) revert InsufficientBalance(msg.sender, balanceWei, amountWei);
        _accounts[msg.sender] -= amountWei;
        emit Withdrawn(msg.sender, to, amountWei);
        _give(to, amountWei);
    }

    /// @inheritdoc ICoprocessor
    function balanceOf(address account) public view returns (uint256 amountWei) {
        return uint128(_accounts[account]);
    }

    /// @inheritdoc ICoprocessor
    function workOf(address account) external view returns (uint64 delivered, uint64 late) {
        uint256 word = _accounts[account];
        return (uint64(word >> 128), uint64(word >> 192));
    }

    function _credit(address account, uint256 amountWei) internal {
        _accounts[account] = _added(_accounts[account], amountWei);
    }

    /// @dev Credits a share of a fee, and counts the answer it is for.
    function _reward(address account, uint256 amountWei, bool isLate) internal {
        _accounts[account] = _added(_accounts[account], amountWei) + ONE_DELIVERED + (isLate ? ONE_LATE : 0);
    }

    function _debit(address account, uint256 amountWei) internal {
        uint256 balanceWei = balanceOf(account);
        if (amountWei > balanceWei) revert Unpaid(account, amountWei, balanceWei);
        _accounts[account] -= amountWei;
    }

    function _deposit(address account) private {
        _requireEther();
        _credit(account, msg.value);
        emit Deposited(account, msg.sender, msg.value);
    }

    function _depositToken(address account, uint256 amountWei) private {
        _takeTokens(amountWei);
        _credit(account, amountWei);
        emit Deposited(account, msg.sender, amountWei);
    }

    /// @dev The word with a higher balance. No sum of ether or of held tokens (Treasury) gets as high as to be refused.
    function _added(uint256 word, uint256 amountWei) private pure returns (uint256) {
        if (amountWei > type(uint128).max - uint128(word)) revert AmountTooHigh(amountWei);
        return word + amountWei;
    }
}
