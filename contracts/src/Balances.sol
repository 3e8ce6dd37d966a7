// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ICoprocessor} from "./interfaces/ICoprocessor.sol";

/// @title Pull payments: one balance per account for deposits, refunds and earned fees
/// @notice The ether held equals the sum of all balances and of all escrowed fees, plus whatever was forced in.
abstract contract Balances is ICoprocessor, ReentrancyGuardTransient {
    mapping(address account => uint256 amountWei) private _balances;

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
    /// @dev WARNING: a withdrawn deposit no longer pays for signed requests; whoever works on one carries that risk.
    function withdraw(uint256 amountWei, address payable to) external nonReentrant {
        if (to == address(0)) revert ZeroRecipient();
        uint256 balanceWei = _balances[msg.sender];
        if (amountWei > balanceWei) revert InsufficientBalance(msg.sender, balanceWei, amountWei);
        _balances[msg.sender] = balanceWei - amountWei;
        emit Withdrawn(msg.sender, to, amountWei);
        (bool isSuccess,) = to.call{value: amountWei}("");
        if (!isSuccess) revert TransferFailed(to, amountWei);
    }

    /// @inheritdoc ICoprocessor
    function balanceOf(address account) public view returns (uint256 amountWei) {
        return _balances[account];
    }

    function _credit(address account, uint256 amountWei) internal {
        _balances[account] += amountWei;
    }

    function _debit(address account, uint256 amountWei) internal {
        uint256 balanceWei = _balances[account];
        if (amountWei > balanceWei) revert Unpaid(account, amountWei, balanceWei);
        _balances[account] = balanceWei - amountWei;
    }

    function _deposit(address account) private {
        _credit(account, msg.value);
        emit Deposited(account, msg.sender, msg.value);
    }
}
